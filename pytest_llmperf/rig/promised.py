"""What a test promises: its marks, slo.yaml and the options, merged."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.load import build_load, merge_load, parse_load
from pytest_llmperf.core.measurement import without_setup
from pytest_llmperf.core.metric import nearest
from pytest_llmperf.core.slo import Slo, build, merged, parse_arguments
from pytest_llmperf.options import BASELINE_ITERATIONS, GateMode, Options
from pytest_llmperf.slo_yaml.file import BackendEntry, SloFile, matches

#: Arguments of a mark, and where it stands.
Mark = tuple[Mapping[str, Any], str]


def promised(
    node_id: str,
    marks: Sequence[Mark],
    loads: Sequence[Mark] = (),
    *,
    file: SloFile,
    options: Options,
    entry: BackendEntry,
) -> Slo:
    """What the test *node_id* promises by its marks (outermost first), slo.yaml and the options.

    *marks* are those of ``llm_slo``, *loads* those of ``llm_load``; *entry* is the backend that it asks.

    Raises LlmPerfUsageError that names the place of a bad argument.
    """
    node_id = without_setup(node_id, options.setup)  # patterns are about the test
    layers = [file.defaults, options.defaults]
    own = [
        *file.patterns(node_id),
        *(parse_arguments(arguments, where=where) for arguments, where in marks),
    ]
    role = _last("role", [*layers, *own])
    if role is not None and role not in file.roles:
        where = marks[-1][1] if marks else node_id
        raise LlmPerfUsageError(
            f"{where}  role: {role!r} is not under roles: in slo.yaml{nearest(role, tuple(file.roles))}"
        )
    if role is not None:
        layers.append(file.roles[role].slo)
    layers += own
    pooled = _last("scenario", layers)
    layers += [
        layer for target, layer in entry.slo.items() if target in {role, pooled} or matches(node_id, target)
    ]
    rhythm = [layer["load"] for layer in layers if "load" in layer]
    rhythm += [parse_load(arguments, where=where) for arguments, where in loads]
    arguments = merged(layers)
    arguments.pop("load", None)
    for pattern, accepted in file.accept.items():
        if matches(node_id, pattern):  # it allows more, and never less than a mark does already
            allowed = arguments.get("max_regression", Slo().max_regression)
            arguments["max_regression"] = max(allowed, accepted.max_regression)
    slo = _sized(arguments, options)
    if not rhythm:
        return slo
    load = build_load(reduce(merge_load, rhythm), where=loads[-1][1] if loads else f"{node_id}  load")
    return replace(slo, load=load, notes=())  # the profile decides how many samples there are


def strangers(
    scenarios: Collection[str], *, file: SloFile, options: Options, entry: BackendEntry
) -> list[str]:
    """A warning for each name under the backend's ``slo`` that is no role and none of *scenarios*."""
    known = {*file.roles, *scenarios}
    return [
        f"slo.yaml  backends.{options.backend}.slo.{target}: no role, and no scenario of this "
        f"session, has this name, so its limits held nothing{nearest(target, tuple(known))}"
        for target in entry.slo
        if target not in known and not {"*", "?", "[", ":", "/"}.intersection(target)
    ]


def _sized(arguments: dict[str, Any], options: Options) -> Slo:
    """The promise, with the number of iterations that this session asks for."""
    if options.quick:
        return replace(build(arguments), iterations=3, max_iterations=3, warmup=1, notes=())
    if options.saves:
        arguments["iterations"] = max(arguments.get("iterations", 0), BASELINE_ITERATIONS)
    slo = build({**arguments, **options.overrides}, cap=options.overrides.get("max_iterations"))
    once = options.gate is GateMode.OFF or options.saves
    return replace(slo, max_iterations=slo.iterations) if once else slo


def _last(name: str, layers: Sequence[Mapping[str, Any]]) -> Any:
    return next((layer[name] for layer in reversed(layers) if name in layer), None)
