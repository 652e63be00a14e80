"""Every option: what it is called, what it says, and how its value is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_llmperf.core.duration import parse_duration
from pytest_llmperf.core.share import parse_regression, typed
from pytest_llmperf.core.slo import parse_cache, parse_usd
from pytest_llmperf.options import BASELINE_ITERATIONS, STRICT, GateMode, strict_outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSpec:
    """One option: ``--llm-NAME``, ini key ``llm_NAME``, environment variable ``LLMPERF_NAME``."""

    help: str
    metavar: str | None = None  #: None: a flag
    parse: Callable[[str], Any] = str
    ini: str = "string"
    repeats: bool = False
    flag: str | None = None  #: the option's own spelling, where it is not --llm-NAME
    slo: bool = False  #: an argument of llm_slo


def whole(least: int) -> Callable[[str], int]:
    """Reads a whole number from *least*."""

    def parse(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < least:
            raise ValueError(f"expected a whole number from {least}")
        return int(text)

    return parse


def _gate(text: str) -> GateMode:
    if text not in set(GateMode):
        raise ValueError(f"expected one of {', '.join(GateMode)}")
    return GateMode(text)


def _usd(text: str) -> float:
    try:
        return parse_usd(float(text))
    except ValueError:
        raise ValueError("expected an amount in USD above 0, such as 0.50") from None


def regression(text: str) -> float:
    """How much worse is allowed, as it is typed. Raises ValueError."""
    return parse_regression(typed(text))


#: By the name that stands for itself in --llm-NAME, llm_NAME and LLMPERF_NAME.
SPECS: dict[str, OptionSpec] = {
    "backend": OptionSpec(
        metavar="NAME",
        repeats=True,
        ini="linelist",
        help="mock (default), vllm, ollama, openai, or a name under backends: in slo.yaml; "
        "given several times, every scenario runs on each and the report compares them",
    ),
    "url": OptionSpec(
        metavar="URL", help="base URL of the model server, with or without /v1 (default: the backend's)"
    ),
    "model": OptionSpec(
        metavar="NAME",
        repeats=True,
        ini="linelist",
        help="the model to ask (default: the backend's, else the first one it lists); given several times, "
        "every scenario runs with each and the report compares them",
    ),
    "iterations": OptionSpec(
        metavar="N",
        parse=whole(1),
        ini="int",
        slo=True,
        help="measured runs of a scenario's first look (default: 30)",
    ),
    "max_iterations": OptionSpec(
        metavar="N",
        parse=whole(1),
        ini="int",
        slo=True,
        help="where an undecided scenario stops (default: 480)",
    ),
    "warmup": OptionSpec(
        metavar="N", parse=whole(0), ini="int", slo=True, help="unmeasured runs before (default: 5)"
    ),
    "processes": OptionSpec(
        metavar="N",
        parse=whole(1),
        ini="int",
        help="worker processes that share a load profile (default: 1, or one for each worker of the cluster)",
    ),
    "cluster": OptionSpec(
        metavar="ADDRESS",
        help="Dask scheduler, such as tcp://10.0.0.5:8786, whose workers carry out load profiles "
        "(needs the extra cluster)",
    ),
    "quick": OptionSpec(
        ini="bool", help="one warm-up, three iterations, asserts only, no verdict on percentiles"
    ),
    "max_time": OptionSpec(
        metavar="DURATION",
        parse=parse_duration,
        help="budget of the session, such as 10m: no further look after it",
    ),
    "max_cost_usd": OptionSpec(
        metavar="USD",
        parse=_usd,
        help="budget of the session: it stops before its requests cost more, by prices: in slo.yaml",
    ),
    "save_baseline": OptionSpec(
        ini="bool",
        flag="--save-baseline",
        help=f"store this session as the baseline ({BASELINE_ITERATIONS} samples per scenario)",
    ),
    "append_baseline": OptionSpec(ini="bool", help="store this session as one more run of the baseline"),
    "baseline": OptionSpec(
        metavar="PATH-or-URL",
        help="where baselines are kept (default: .llmperf/baselines), or a URL of a .zip or .tar.gz of them",
    ),
    "ab": OptionSpec(
        metavar="BASE",
        help="compare with BASE instead of the stored baseline, iteration by iteration in random order: "
        "a backend, a URL, or git:REV for a revision of this project",
    ),
    "max_regression": OptionSpec(
        metavar="SHARE",
        parse=regression,
        slo=True,
        help="how much worse than the baseline is allowed (default: 10%%)",
    ),
    "gate": OptionSpec(
        metavar="MODE",
        parse=_gate,
        help="fail (default): proven regressions fail; plain: the point estimate past the limit fails; "
        "warn: nothing fails; off: nothing is judged",
    ),
    "strict": OptionSpec(
        metavar="LIST",
        parse=strict_outcomes,
        help=f"outcomes that fail too: a comma-separated list of {', '.join(STRICT)}, or all",
    ),
    "cache": OptionSpec(
        metavar="MODE",
        parse=parse_cache,
        slo=True,
        help="as-is (default), cold: every prompt begins with a number of its own, warm: every prompt was "
        "served before, or both: judge warm prompts, and report what they save against cold ones",
    ),
    "report": OptionSpec(
        metavar="PATH",
        repeats=True,
        ini="linelist",
        help="write a report, by suffix (.json, .html, .md, .csv, .ndjson, .prom) or as FORMAT=PATH; "
        "may be given several times",
    ),
    "otel": OptionSpec(
        ini="bool",
        help="send the session's metrics to the OpenTelemetry receiver of OTEL_EXPORTER_OTLP_ENDPOINT",
    ),
    "slo_file": OptionSpec(metavar="PATH", help="slo.yaml to use (default: slo.yaml in the root directory)"),
    "show_replies": OptionSpec(ini="bool", help="print prompts and replies"),
    "histogram": OptionSpec(ini="bool", help="print a small histogram of every scenario's latency"),
    "seed": OptionSpec(
        metavar="N", parse=whole(0), ini="int", help="the mock's and the cases' randomness (default: 0)"
    ),
}


def flag_of(name: str) -> str:
    """The option *name* as it is typed: ``--llm-max-time``."""
    return SPECS[name].flag or f"--llm-{name.replace('_', '-')}"
