"""The options of command line, environment and ini file, declared and resolved once into Options."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_llmperf.client.redact import redact, safe_url
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.option_specs import SPECS, OptionSpec, flag_of
from pytest_llmperf.options import GateMode, Options, Setup

#: Options that change nothing about what is measured.
_ASIDE = frozenset({"report", "show_replies", "histogram", "save_baseline", "append_baseline"})


def add_options(parser: pytest.Parser) -> None:
    """Declare every option and ini key."""
    group = parser.getgroup("llm performance", "performance gating of LLM systems (pytest-llmperf)")
    for name, spec in SPECS.items():
        flag = flag_of(name)
        words: dict[str, Any] = {"dest": f"llm_{name}", "default": None, "help": spec.help}
        if spec.metavar is None:
            group.addoption(flag, action="store_true", **words)
        else:
            action = "append" if spec.repeats else "store"
            group.addoption(flag, action=action, metavar=spec.metavar, **words)
        # argparse reads % signs, ini files do not
        parser.addini(f"llm_{name}", spec.help.replace("%%", "%"), type=spec.ini, default=None)  # type: ignore[arg-type]  # a literal


def resolve(config: pytest.Config, environment: Mapping[str, str] = os.environ) -> Options:
    """Options from command line, environment and ini file, in this order.

    Raises pytest.UsageError that says which of them is wrong and what was expected.
    """
    given: dict[str, Any] = {}
    overrides: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    asked: list[str] = []
    from_environment: list[str] = []
    for name, spec in SPECS.items():
        source, raw = _raw(config, name, environment)
        if raw is None:
            continue
        value = _parsed(source, raw, spec)
        if not source.startswith("llm_") and name not in _ASIDE and value is not False:
            asked += _as_option(name, raw, spec)
            if source.startswith("LLMPERF_"):
                from_environment += _as_option(name, raw, spec)
        if not spec.slo:
            given[name] = value
        elif source.startswith("llm_"):
            defaults[name] = value
        else:
            overrides[name] = value
    baseline = given.get("baseline")
    remote = baseline is not None and "://" in baseline
    backends, models = given.get("backend") or ["mock"], given.get("model") or [None]
    options = Options(
        backend=backends[0],
        url=given.get("url"),
        model=models[0],
        setups=_setups(backends, models),
        processes=given.get("processes"),
        cluster=given.get("cluster") or None,
        quick=given.get("quick", False),
        max_cost_usd=given.get("max_cost_usd"),
        max_time_s=given.get("max_time", math.inf),
        save_baseline=given.get("save_baseline", False),
        append_baseline=given.get("append_baseline", False),
        ab=given.get("ab") or None,
        baseline=None if remote else _path(config, baseline),
        baseline_url=baseline if remote else None,
        gate=given.get("gate", GateMode.FAIL),
        strict=given.get("strict", frozenset()),
        reports=tuple(given.get("report", ())),
        slo_file=_path(config, given.get("slo_file")),
        otel=given.get("otel", False),
        show_replies=given.get("show_replies", False),
        histogram=given.get("histogram", False),
        seed=given.get("seed"),
        asked=tuple(asked),
        from_environment=tuple(from_environment),
        overrides=overrides,
        defaults=defaults,
    )
    return _agreeing(options)


def _setups(backends: Sequence[str], models: Sequence[str | None]) -> tuple[Setup, ...]:
    """Every backend with every model, named by what differs; none where there is only one."""
    if len(backends) * len(models) == 1:
        return ()
    for flag, names in (("--llm-backend", backends), ("--llm-model", models)):
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise pytest.UsageError(f"{flag}: {twice} is given twice")
    setups = []
    for backend in backends:
        for model in models:
            parts = [backend] * (len(backends) > 1) + [model or ""] * (len(models) > 1)
            # As pytest writes it in a node id.
            label = "-".join(parts).encode("unicode_escape").decode("ascii")
            setups.append(Setup(label=label, backend=backend, model=model))
    return tuple(setups)


def _as_option(name: str, raw: Any, spec: OptionSpec) -> list[str]:
    """The option as it would be typed; a URL without its user, password and query."""
    flag = flag_of(name)
    if spec.metavar is None:
        return [flag]
    values = [str(value) for value in (raw if isinstance(raw, list) else [raw])]
    return [f"{flag}={safe_url(value) if '://' in value else redact(value)}" for value in values]


def _agreeing(options: Options) -> Options:
    """*options* unless two of them contradict each other."""
    if options.save_baseline and options.append_baseline:
        raise pytest.UsageError("--save-baseline and --llm-append-baseline: one or the other")
    if options.url is not None and len({setup.backend for setup in options.setups}) > 1:
        raise pytest.UsageError(
            "--llm-url is the URL of one backend, and several are compared: give each its url under "
            "backends: in slo.yaml"
        )
    if options.saves and options.baseline_url is not None:
        raise pytest.UsageError(
            "--llm-baseline: a URL is only read: save into a directory, and publish an archive of that"
        )
    if options.saves and options.gate is GateMode.OFF:
        raise pytest.UsageError(
            "--llm-gate=off judges nothing, and only what was judged is stored: use --llm-gate=warn"
        )
    if options.saves and (options.ab is not None or options.quick):
        other = "--llm-ab" if options.ab is not None else "--llm-quick"
        raise pytest.UsageError(f"{other} measures nothing that could be stored as a baseline")
    try:
        _check_extras(options)
    except LlmPerfUsageError as error:
        raise pytest.UsageError(str(error)) from None
    return options


def _check_extras(options: Options) -> None:
    """Raise LlmPerfUsageError where something that is asked for cannot be had; imported only where it is."""
    if options.reports:
        from pytest_llmperf.reports.write import check  # noqa: PLC0415 - see above

        check(options.reports)
    if options.otel:
        from pytest_llmperf.reports import otel  # noqa: PLC0415 - see above

        otel.check()
    if options.cluster is not None:
        from pytest_llmperf.shards import cluster  # noqa: PLC0415 - see above

        cluster.check()


def _raw(config: pytest.Config, name: str, environment: Mapping[str, str]) -> tuple[str, Any]:
    """Where the option's value comes from, and the value as it stands there."""
    if (value := config.getoption(f"llm_{name}")) is not None:
        return flag_of(name), value
    if value := environment.get(f"LLMPERF_{name.upper()}"):
        return f"LLMPERF_{name.upper()}", value
    try:
        return f"llm_{name}", config.getini(f"llm_{name}")
    except (TypeError, ValueError, pytest.UsageError) as error:  # as its version has it; no key is named
        raise pytest.UsageError(f"llm_{name}: {error}") from None


def _parsed(source: str, raw: Any, spec: OptionSpec) -> Any:
    try:
        if spec.metavar is None:
            return raw if isinstance(raw, bool) else _truth(raw)
        if spec.repeats:
            return [raw] if isinstance(raw, str) else list(raw)
        return spec.parse(str(raw))
    except ValueError as error:
        raise pytest.UsageError(f"{source}: {raw!r}: {error}") from None


def _truth(text: str) -> bool:
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if text.lower() not in words:
        raise ValueError("expected 1 or 0")
    return words[text.lower()]


def _path(config: pytest.Config, text: str | None) -> Path | None:
    """*text* as a path, from the directory in which pytest was started."""
    return None if text is None else config.invocation_params.dir / text
