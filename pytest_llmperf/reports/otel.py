"""The session's metrics under OpenTelemetry's names for generative AI, sent by its SDK over OTLP.

Names, units and buckets: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/ (status:
development). Only numbers and names leave the machine: no prompt, no reply, no header of a model server.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pytest_llmperf.client.redact import safe_url
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.run import Run
from pytest_llmperf.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.metrics.export import MetricsData

#: Where the SDK is told to send metrics; the first that is set counts.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TIMEOUT_S = 5.0
_NOWHERE: Final[Mapping[str, str]] = MappingProxyType({})

_DURATIONS = tuple(0.01 * 2**power for power in range(14))
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_EACH = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_COUNTS = tuple(float(4**power) for power in range(14))

#: Series of a measurement -> name, unit, what it says, bucket boundaries.
_HISTOGRAMS = {
    "latency_s": ("gen_ai.client.operation.duration", "s", "Duration of a request.", _DURATIONS),
    "ttft_s": (
        "gen_ai.client.operation.time_to_first_chunk",
        "s",
        "Time from the request to the first chunk.",
        _FIRST,
    ),
    "itl_s": (
        "gen_ai.client.operation.time_per_output_chunk",
        "s",
        "Mean time between the chunks of a request.",
        _EACH,
    ),
}
_TOKENS = {"input_tokens": "input", "output_tokens": "output"}


def check() -> None:
    """Raise LlmPerfUsageError where nothing can be sent: the extra is missing, or the endpoint."""
    try:
        import opentelemetry.exporter.otlp.proto.http.metric_exporter  # noqa: PLC0415 - an extra
        import opentelemetry.sdk.metrics  # noqa: PLC0415, F401 - an extra
    except ImportError:
        raise LlmPerfUsageError(
            "--llm-otel needs the OpenTelemetry SDK: pip install 'pytest-llmperf[otel]'"
        ) from None
    if not any(os.environ.get(name) for name in ENDPOINTS):
        raise LlmPerfUsageError(
            f"--llm-otel: {ENDPOINTS[1]} is not set; give it the URL of an OTLP/HTTP receiver, such as "
            "http://127.0.0.1:4318"
        )


def export(run: Run, servers: Mapping[str, str] = _NOWHERE) -> str:
    """Send the metrics of *run* once, and say so. Raises LlmPerfUsageError when they did not arrive.

    *servers*: the URL that each set-up asked, under "" where there is only one; of a URL nothing but host
    and port is sent.
    """
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - an extra
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics.export import MetricExportResult  # noqa: PLC0415 - an extra

    endpoint = safe_url(next(value for name in ENDPOINTS if (value := os.environ.get(name))))
    exporter = OTLPMetricExporter(timeout=_TIMEOUT_S)
    try:
        result = exporter.export(collected(run, servers))
    finally:
        exporter.shutdown()
    if result is not MetricExportResult.SUCCESS:
        raise LlmPerfUsageError(f"--llm-otel: {endpoint} did not take the metrics")
    return f"metrics sent to {endpoint}"


def collected(run: Run, servers: Mapping[str, str] = _NOWHERE) -> MetricsData:
    """The metrics of *run* as the SDK hands them to an exporter."""
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra

    reader = InMemoryMetricReader()
    # OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME win over these.
    resource = Resource.create({"service.name": "pytest-llmperf", **_revision(run)})
    provider = MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)
    record(run, provider.get_meter("pytest_llmperf", VERSION), servers)
    found = reader.get_metrics_data() or MetricsData(resource_metrics=[])
    provider.shutdown()
    return found


def record(run: Run, meter: Meter, servers: Mapping[str, str] = _NOWHERE) -> None:
    """Put every number of *run* into instruments of *meter*."""
    measured = [scenario.measurement for scenario in run.scenarios]
    # Worked out once for each: there may be many values.
    about = {id(one): {**_attributes(one), **_address(servers.get(one.setup))} for one in measured}
    for series, (name, unit, text, buckets) in _HISTOGRAMS.items():
        histogram = meter.create_histogram(name, unit, text, explicit_bucket_boundaries_advisory=buckets)
        for one in measured:
            for value in one.series.get(series, ()):
                histogram.record(value, about[id(one)])
    usage = meter.create_histogram(
        "gen_ai.client.token.usage",
        "{token}",
        "Tokens of a request.",
        explicit_bucket_boundaries_advisory=_COUNTS,
    )
    for one, kind, values in _token_series(measured):
        for value in values:
            usage.record(value, {**about[id(one)], "gen_ai.token.type": kind})
    _requests(run, meter)


def _token_series(measured: Iterable[Measurement]) -> Iterator[tuple[Measurement, str, Sequence[float]]]:
    for one in measured:
        for series, kind in _TOKENS.items():
            yield one, kind, one.series.get(series, ())


def _requests(run: Run, meter: Meter) -> None:
    """What has no name there: requests by kind of failure, and verdicts."""
    requests = meter.create_counter("llmperf.requests", "{request}", "Measured requests.")
    outcome = meter.create_gauge(
        "llmperf.scenario.severity", "1", "0 is harmless, the highest is a broken limit."
    )
    for scenario in run.scenarios:
        one = scenario.measurement
        requests.add(one.sent - one.failed, _attributes(one))
        for failure in one.failures:
            requests.add(failure.count, {**_attributes(one), "error.type": failure.kind})
        severity = {**_attributes(one), "llmperf.outcome": scenario.verdict.outcome.value}
        outcome.set(scenario.verdict.outcome.severity, severity)


def _address(url: str | None) -> dict[str, str | int]:
    """Where the requests went, as far as the convention asks for it: never a user, password or path."""
    parts = urlsplit(url or "")
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    known = {"server.address": plain(parts.hostname or ""), "server.port": port}
    return {name: value for name, value in known.items() if value} if parts.hostname else {}


def _attributes(one: Measurement) -> dict[str, str]:
    known = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": plain(one.backend),
        "gen_ai.request.model": plain(one.model),
        "llmperf.scenario": plain(one.scenario),
        "llmperf.setup": plain(one.setup),
    }
    return {name: value for name, value in known.items() if value}


def _revision(run: Run) -> dict[str, str]:
    names = {"commit": "vcs.ref.head.revision", "branch": "vcs.ref.head.name"}
    return {name: plain(run.environment[fact]) for fact, name in names.items() if fact in run.environment}
