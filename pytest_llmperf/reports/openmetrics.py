"""OpenMetrics text that Prometheus' older format understands too.

So it suits a scrape, a push gateway and the node exporter's textfile collector alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.run import Run
from pytest_llmperf.reports.summary import Summary, percentile, summarise

_QUANTILES = (0.5, 0.95, 0.99)
_TIMES = {
    "latency": "Request due to last byte.",
    "ttft": "Request due to first token.",
    "itl": "Mean gap between content chunks of a request.",
    "tpot": "Time per output token after the first.",
    "task": "Wall time of one iteration.",
}


def render(run: Run) -> str:
    """*run* as OpenMetrics 1.0 text: summaries in seconds, and gauges."""
    rows = summarise(run)
    lines = [
        line
        for name, help_text in _TIMES.items()
        for line in _summary(f"llmperf_{name}_seconds", help_text, rows, f"{name}_s")
    ]
    for name, (help_text, value) in _GAUGES.items():
        lines += _gauge(name, help_text, rows, value)
    lines += _outcomes(rows)
    return "\n".join([*lines, "# EOF"]) + "\n"


_GAUGES: dict[str, tuple[str, Callable[[Summary], float | None]]] = {
    "llmperf_requests": ("Measured requests.", lambda row: row.scenario.measurement.sent),
    "llmperf_failed_requests": (
        "Measured requests that failed.",
        lambda row: row.scenario.measurement.failed,
    ),
    "llmperf_tokens_per_second": ("Output tokens per second of work.", lambda row: row.tokens_per_s),
    "llmperf_success_ratio": ("Requests that succeeded.", lambda row: row.success_rate),
    "llmperf_json_valid_ratio": ("Replies that are valid JSON.", lambda row: row.json_valid),
    "llmperf_request_cost_usd": ("Mean price of a request.", lambda row: row.cost_usd),
    "llmperf_server_memory_peak_bytes": (
        "Peak of the resident memory of the server.",
        lambda row: _used(row, "rss_mb", 1e6, peak=True),
    ),
    "llmperf_server_cpu_cores": (
        "Mean number of cores that the server kept busy.",
        lambda row: _used(row, "cpu_percent", 0.01),
    ),
    "llmperf_server_running_requests": (
        "Mean number of requests that the server worked on, by its own count.",
        lambda row: _used(row, "server_running", 1),
    ),
    "llmperf_server_waiting_peak_requests": (
        "Peak of the requests in the server's queue, by its own count.",
        lambda row: _used(row, "server_waiting", 1, peak=True),
    ),
    "llmperf_server_kv_cache_peak_ratio": (
        "Peak of the use of the server's KV cache, by its own count.",
        lambda row: _used(row, "kv_cache_percent", 0.01, peak=True),
    ),
    "llmperf_gpu_memory_peak_bytes": (
        "Peak of the memory in use on the server's GPUs.",
        lambda row: _used(row, "gpu_memory_mb", 1e6, peak=True),
    ),
    "llmperf_gpu_utilisation_ratio": (
        "Mean utilisation of the server's GPUs.",
        lambda row: _used(row, "gpu_percent", 0.01),
    ),
    "llmperf_baseline_ratio": ("The gated value over the baseline's.", lambda row: row.ratio),
}


def _used(row: Summary, name: str, scale: float, *, peak: bool = False) -> float | None:
    usage = row.scenario.measurement.resources.usage.get(name)
    return None if usage is None else scale * (usage.peak if peak else usage.mean)


def _summary(name: str, help_text: str, rows: Sequence[Summary], series: str) -> Iterator[str]:
    measured = [(row, values) for row in rows if (values := row.scenario.measurement.series.get(series))]
    if not measured:
        return
    yield f"# TYPE {name} summary"
    yield f"# UNIT {name} seconds"
    yield f"# HELP {name} {help_text}"
    for row, values in measured:
        for q in _QUANTILES:
            yield f"{name}{_labels(row, quantile=str(q))} {_rounded(percentile(values, q))}"
        yield f"{name}_count{_labels(row)} {len(values)}"
        yield f"{name}_sum{_labels(row)} {_rounded(sum(values))}"


def _gauge(
    name: str, help_text: str, rows: Sequence[Summary], value: Callable[[Summary], float | None]
) -> Iterator[str]:
    known = [(row, number) for row in rows if (number := value(row)) is not None]
    if known:
        yield f"# TYPE {name} gauge"
        yield f"# HELP {name} {help_text}"
        yield from (f"{name}{_labels(row)} {_rounded(number)}" for row, number in known)


def _outcomes(rows: Sequence[Summary]) -> Iterator[str]:
    # A state set would say it better; the node exporter refuses a file that holds one.
    if rows:
        yield "# TYPE llmperf_outcome gauge"
        yield "# HELP llmperf_outcome What became of the scenario: 1 for its outcome, 0 for the others."
    for row in rows:
        for outcome in Outcome:
            labels = _labels(row, outcome=outcome.value)
            yield f"llmperf_outcome{labels} {int(row.outcome is outcome)}"


def _labels(row: Summary, **more: str) -> str:
    about = row.scenario.measurement
    labels = {"scenario": about.scenario, "backend": about.backend, "model": about.model, **more}
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return plain(value).replace("\\", r"\\").replace('"', r"\"")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 9)
