"""What OpenTelemetry's own SDK and a receiver on loopback make of a run."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.reports import otel


def points(run, servers=otel._NOWHERE) -> dict[str, list]:
    """The data points that the SDK's in-memory reader gives, by metric."""
    found = {}
    for resource in otel.collected(run, servers).resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = list(metric.data.data_points)
    return found


def test_every_request_is_in_the_duration_under_the_name_of_the_convention(runs):
    (point,) = points(runs.of("passed"))["gen_ai.client.operation.duration"]
    assert (point.count, point.attributes["gen_ai.request.model"]) == (200, "Qwen/Qwen2.5-3B-Instruct")
    assert point.sum == pytest.approx(sum(runs.scenario("passed").measurement.series["latency_s"]))


def test_buckets_are_those_of_the_convention(runs):
    (point,) = points(runs.of("passed"))["gen_ai.client.operation.duration"]
    assert point.explicit_bounds[:3] == pytest.approx((0.01, 0.02, 0.04))
    assert point.explicit_bounds[-1] == pytest.approx(81.92)


def test_tokens_are_told_by_their_type(runs):
    found = points(runs.of("passed"))["gen_ai.client.token.usage"]
    sums = {point.attributes["gen_ai.token.type"]: point.sum for point in found}
    assert sums == {"input": 200 * 120, "output": 200 * 42}


def test_failed_requests_are_counted_by_kind_and_have_no_duration(runs):
    found = points(runs.of("unreachable"))
    counts = {point.attributes.get("error.type"): point.value for point in found["llmperf.requests"]}
    assert counts == {None: 0, "connect": 28, "http_status": 2}
    assert "gen_ai.client.operation.duration" not in found


def test_the_verdict_is_a_number_that_an_alert_can_watch(runs):
    (point,) = points(runs.of("failed"))["llmperf.scenario.severity"]
    assert (point.attributes["llmperf.outcome"], point.value) == ("failed", 8)


def test_the_revision_is_an_attribute_of_the_resource(runs):
    (resource,) = otel.collected(runs.of("passed")).resource_metrics
    assert resource.resource.attributes["vcs.ref.head.revision"] == "9d4e11b"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://bob:sesame@10.0.0.7:8000/v1?key=sesame", ("10.0.0.7", 8000)),
        ("https://api.example.org/v1", ("api.example.org", 443)),
        ("http://[::1]:8000", ("::1", 8000)),
        (None, (None, None)),
    ],
)
def test_the_server_is_told_by_host_and_port_alone(runs, url, address):
    (point,) = points(runs.of("passed"), {"": url} if url else {})["gen_ai.client.operation.duration"]
    told = dict(point.attributes)
    assert (told.get("server.address"), told.get("server.port")) == address
    assert "sesame" not in str(told)


def test_a_run_without_scenarios_has_no_metrics(runs):
    assert points(runs.of()) == {}


class Receiver(BaseHTTPRequestHandler):
    """Takes one kind of request and remembers it."""

    status = 200

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, self.headers, body))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver(monkeypatch):
    """A receiver on loopback, to which the standard variable points."""
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    server.received = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://u:sesame@127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_receiver_gets_the_metrics_as_protocol_buffers(runs, receiver):
    import gzip

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    line = otel.export(runs.of("passed"))
    ((path, headers, body),) = receiver.received
    body = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
    request = ExportMetricsServiceRequest.FromString(body)
    names = {metric.name for metric in request.resource_metrics[0].scope_metrics[0].metrics}
    assert path == "/v1/metrics"
    assert {"gen_ai.client.operation.duration", "gen_ai.client.token.usage", "llmperf.requests"} <= names
    assert line.startswith("metrics sent to http://")
    assert "sesame" not in line


def test_a_receiver_that_refuses_is_an_error_without_its_password(runs, receiver, monkeypatch):
    monkeypatch.setattr(Receiver, "status", 400)
    with pytest.raises(LlmPerfUsageError, match="did not take the metrics") as caught:
        otel.export(runs.of("passed"))
    assert "sesame" not in str(caught.value)


def test_no_endpoint_is_an_error_that_names_the_variable(monkeypatch):
    for name in otel.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LlmPerfUsageError, match="OTEL_EXPORTER_OTLP_ENDPOINT is not set"):
        otel.check()


def test_a_missing_sdk_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    with pytest.raises(LlmPerfUsageError, match=r"pip install 'pytest-llmperf\[otel\]'"):
        otel.check()
