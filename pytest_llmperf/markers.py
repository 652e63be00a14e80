"""``@llm_slo``, and where it stands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError

if TYPE_CHECKING:
    from typing import Unpack

    from pytest_llmperf.slo_arguments import LoadArguments, SloArguments

NAME, LOAD = "llm_slo", "llm_load"

#: For ``pytest --markers``.
HELP = (
    "llm_slo(p95_ms=150, json_valid=0.98, ...): measure this test again and again, hold it to these limits "
    "and compare it with the stored baseline. "
    "Keys: [<ttft|itl|tpot|task>_]<p50|p75|p90|p95|p99|p999|mean|max>_<ms|s|us|ns>, tokens_per_s, "
    "requests_per_s, goodput, json_valid, success_rate, pass_rate, cache_hit_rate, input_tokens, "
    "output_tokens, total_tokens, cost_usd, rss_mb, cpu_percent, gpu_memory_mb, gpu_percent, "
    "gpu_percent_min; and iterations, max_iterations, warmup, max_regression, gate, "
    "cases, accuracy, steps, scenario, role, cache, max_cost_usd."
)


#: The same, of the other marker.
LOAD_HELP = (
    "llm_load(users=50, duration='30s'): run this test under a load profile instead of again and again. "
    "users, duration | users, spawn_rate, duration | users, iterations | users, shared_iterations | "
    "rate, duration, arrivals | stages=[('30s', 10), ('1m', 50)] | replay='arrivals.txt'; and think_time, "
    "max_concurrency, graceful_stop, abort_on, mix, weight."
)


def llm_slo(**arguments: Unpack[SloArguments]) -> pytest.MarkDecorator:
    """The same as ``pytest.mark.llm_slo``, with arguments that editors and type checkers know."""
    return pytest.mark.llm_slo(**arguments)


def llm_load(**arguments: Unpack[LoadArguments]) -> pytest.MarkDecorator:
    """The same as ``pytest.mark.llm_load``, with arguments that editors and type checkers know.

    A test that carries it is a scenario, with or without ``llm_slo``.
    """
    return pytest.mark.llm_load(**arguments)


def is_marked(item: pytest.Item) -> bool:
    """Whether *item* carries one of the markers."""
    return any(item.get_closest_marker(name) is not None for name in (NAME, LOAD))


def is_scenario(item: pytest.Item) -> bool:
    """Whether *item* carries one of the markers and can be repeated."""
    return isinstance(item, pytest.Function) and is_marked(item)


def marks_of(definition: pytest.Item, name: str = NAME) -> list[tuple[Mapping[str, Any], str]]:
    """Arguments of each mark *name* on a test, outermost first, with the place for error texts.

    Raises LlmPerfUsageError for positional arguments.
    """
    marks = []
    for mark in reversed(_closest_first(definition, name)):
        where = f"{place(definition)}  @{name}"
        if mark.args:
            example = "p95_ms=150" if name == NAME else "users=50, duration='30s'"
            raise LlmPerfUsageError(
                f"{where}  takes named arguments only, such as {example}, not {mark.args[0]!r}."
            )
        marks.append((mark.kwargs, where))
    return marks


def _closest_first(definition: pytest.Item, name: str) -> list[pytest.Mark]:
    """The marks on a test; those of its own pytest.param first, which pytest has behind the function's."""
    callspec = getattr(definition, "callspec", None)
    own = [] if callspec is None else [mark for mark in callspec.marks if mark.name == name]
    return [*own, *(mark for mark in definition.iter_markers(name) if not any(mark is one for one in own))]


def node_id(item: pytest.Item) -> str:
    """The item's id, the same with and without workers.

    For pytest-xdist's --dist=loadgroup its group is appended to the id, up to pytest 9.1.
    """
    groups = {
        str(mark.args[0] if mark.args else mark.kwargs.get("name", "default"))
        for mark in item.iter_markers("xdist_group")
    }
    return item.nodeid.removesuffix(f"@{'_'.join(sorted(groups))}") if groups else item.nodeid


def check_cases(definition: pytest.Item, function: Callable[..., object], cases: object) -> None:
    """Raise LlmPerfUsageError for a test that is given cases and takes none itself.

    A fixture that takes one is set up once: every iteration would have the same case.
    """
    if cases is not None and "llm_case" not in inspect.signature(function).parameters:
        raise LlmPerfUsageError(
            f"{place(definition)}  @llm_slo  cases: the test never takes one. "
            "Name the fixture llm_case among its arguments."
        )


def asks_backend(item: pytest.Item) -> bool:
    """Whether *item* is a scenario that talks to the selected backend."""
    return is_scenario(item) and not {"llm", "async_llm", "llm_client"}.isdisjoint(
        getattr(item, "fixturenames", ())
    )


def place(definition: pytest.Item) -> str:
    """Where a test stands, for error texts."""
    path, line, _ = definition.reportinfo()
    name = getattr(path, "name", str(path))
    return f"{name}:{line + 1}" if line is not None else name
