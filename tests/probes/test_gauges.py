"""How busy a server says it is, read while it is at work. Nobody waits for the answer."""

from __future__ import annotations

import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.timeline import Reading
from pytest_llmperf.mock.process import start_mock
from pytest_llmperf.probes.gauges import ENOUGH, Gauges
from pytest_llmperf.probes.sampler import Sampler
from pytest_llmperf.probes.server_metrics import ServerMetrics

PAGE = b"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:request_success_total{engine="0"} 7.0
"""
TOLD = {"server_running": 3.0, "server_waiting": 2.0, "kv_cache_percent": 25.0}
KEY = "k3y-0123456789"


class Site:
    """A server on a real socket that notes what it is asked."""

    def __init__(self, answer):
        """*answer*: path -> status and body."""
        self.asked = []
        self.headers = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                site.asked.append(self.path)
                site.headers.append(dict(self.headers))
                status, body = answer(self.path)
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def metrics(self, **how):
        return ServerMetrics(Backend(**{"name": "b", "kind": "openai", "url": f"{self.url}/v1", **how}))

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site():
    sites = []

    def site(answer):
        sites.append(Site(answer))
        return sites[-1]

    yield site
    for one in sites:
        one.close()


def looked_at(metrics, *, readings=3, patience_s=5.0):
    """Gauges after so many readings, or when they look no more by themselves."""
    enough, told = threading.Event(), []

    def tell(reading):
        told.append(reading)
        if len(told) >= readings:
            enough.set()

    gauges = Gauges(metrics, every_s=0.002, patience_s=patience_s)
    gauges.begin(tell)
    thread = gauges._thread
    while thread is not None and thread.is_alive() and not enough.wait(0.01):
        pass
    gauges.end()
    assert gauges.readings[:readings] == told[:readings]
    return gauges


def test_a_server_under_load_tells_who_runs_and_who_waits():
    config = {"latency": {"ttft": "60s", "itl": "1ms"}, "capacity": {"running": 2, "kv_tokens": 100}}
    with start_mock(config) as server, ThreadPoolExecutor(5) as pool:
        asked = {
            "messages": [{"role": "user", "content": "x" * 72}]
        }  # 18 tokens, and the first of the answer
        url = f"{server.url}/chat/completions"
        for _ in range(5):
            pool.submit(httpx.post, url, json=asked, timeout=60, trust_env=False)
        metrics = ServerMetrics(Backend(name="mock", kind="openai", url=server.url))
        gauges = Gauges(metrics, every_s=0.005)
        everyone = threading.Event()
        gauges.begin(lambda one: one.told.get("server_waiting", 0) < 3 or everyone.set())
        assert everyone.wait(20)
        gauges.end()
        assert gauges.readings[-1].told == {
            "server_running": 2.0,
            "server_waiting": 3.0,
            "kv_cache_percent": pytest.approx(38.0, abs=4),
        }
        server.stop()


def test_the_first_look_is_at_the_whole_page_and_the_others_ask_for_the_gauges_alone(site):
    server = site(lambda _: (200, PAGE))
    gauges = looked_at(server.metrics())
    assert [reading.told for reading in gauges.readings[:3]] == [TOLD] * 3
    assert server.asked[0] == "/metrics"
    assert all(path.startswith("/metrics/?name[]=vllm:num_requests_running&") for path in server.asked[1:])


@pytest.mark.parametrize("other", [(404, b""), (200, b""), (502, b"")])
def test_where_the_gauges_cannot_be_asked_for_alone_it_is_tried_once(site, other):
    server = site(lambda path: (200, PAGE) if path == "/metrics" else other)
    assert looked_at(server.metrics()).readings[2].told == TOLD
    assert len([path for path in server.asked if path != "/metrics"]) == 1


@pytest.mark.parametrize("status", [404, 501])
def test_a_server_without_metrics_is_asked_once_and_not_spoken_of(site, status):
    server = site(lambda _: (status, b"{}"))
    metrics = server.metrics()
    gauges = looked_at(metrics)
    assert (gauges.readings, gauges.remark, server.asked) == ([], "", ["/metrics"])
    assert looked_at(metrics).readings == []
    assert len(server.asked) == 1


def test_a_page_without_gauges_is_looked_at_a_few_times_and_not_spoken_of(site):
    server = site(lambda _: (200, b"process_cpu_seconds_total 8.6\n"))
    gauges = looked_at(server.metrics())
    assert (gauges.readings, gauges.remark, server.asked) == ([], "", ["/metrics"] * ENOUGH)


def test_gauges_that_come_with_the_first_request_are_read(site):
    turns = iter([b"process_cpu_seconds_total 8.6\n"])
    server = site(lambda _: (200, next(turns, PAGE)))
    gauges = looked_at(server.metrics())
    assert [reading.told for reading in gauges.readings[:3]] == [TOLD] * 3
    assert server.asked[:2] == ["/metrics", "/metrics"]
    assert server.asked[2].startswith("/metrics/?name[]=")


def test_gauges_are_read_where_there_are_no_counters_yet(site):
    server = site(lambda _: (200, PAGE.replace(b"vllm:request_success_total", b"other_total")))
    metrics = server.metrics()
    assert metrics.counters() is None
    assert looked_at(metrics).readings[0].told == TOLD


def test_counters_are_read_where_there_are_no_gauges(site):
    server = site(lambda _: (200, b"vllm:request_success_total 7.0\n"))
    metrics = server.metrics()
    assert looked_at(metrics).readings == []
    assert metrics.counters().totals == {"requests": 7.0}


def test_counters_that_come_with_the_first_request_are_read(site):
    turns = iter([b"process_cpu_seconds_total 8.6\n"])
    metrics = site(lambda _: (200, next(turns, PAGE))).metrics()
    assert metrics.counters() is None
    assert metrics.counters().totals == {"requests": 7.0}


def test_a_server_that_was_seen_to_have_no_metrics_is_not_asked_again(site):
    server = site(lambda _: (404, b""))
    metrics = server.metrics()
    assert metrics.counters() is None
    looked_at(metrics)
    assert server.asked == ["/metrics"]


def test_a_server_that_cannot_tell_now_is_left_alone_after_a_few_looks_and_spoken_of(site):
    server = site(lambda _: (503, b"busy"))
    gauges = looked_at(server.metrics())
    assert len(server.asked) == ENOUGH
    assert gauges.remark == (
        "the server's /metrics could not be read, so its queue and KV cache are unknown: "
        f"{server.url}/metrics: HTTP status 503"
    )


def test_a_server_that_tells_again_is_read_again(site):
    turns = iter([200, 503, 503, 200, 503, 503, 200])
    server = site(lambda _: (next(turns, 200), PAGE))
    gauges = looked_at(server.metrics(), readings=4)
    assert len(gauges.readings) >= 4
    assert gauges.remark.startswith("the server's /metrics could not be read at times: ")


def test_an_answer_that_does_not_come_is_given_up(site):
    never = threading.Event()
    server = site(lambda _: (never.wait(20), (200, PAGE))[1])
    gauges = looked_at(server.metrics(), patience_s=0.02)
    assert gauges.remark.endswith(f"no answer from {server.url}/metrics within 0.02 s")
    never.set()


def test_nobody_waits_for_an_answer_that_is_under_way(site):
    asked, answer = threading.Event(), threading.Event()

    def slow(_):
        asked.set()
        answer.wait(20)
        return 200, PAGE

    told = []
    gauges = Gauges(site(slow).metrics(), every_s=0.001)
    gauges.begin(told.append)
    assert asked.wait(10)
    gauges.end()  # would hang if it waited
    assert gauges._thread.is_alive()
    answer.set()
    gauges._thread.join(10)
    assert (told, gauges.readings, gauges.remark) == ([], [], "")


def test_the_key_is_shown_to_the_server_and_to_nobody_else(site):
    server = site(lambda _: (500, KEY.encode()))
    url = server.url.replace("http://", "http://ada:p%40ss@")
    gauges = looked_at(server.metrics(url=url))
    basic = base64.b64encode(b"ada:p@ss").decode()
    assert server.headers[0]["Authorization"] == f"Basic {basic}"
    assert "127.0.0.1" in gauges.remark
    assert not [secret for secret in (KEY, "p@ss", "p%40ss", basic) if secret in gauges.remark]
    server = site(lambda _: (200, PAGE))
    looked_at(server.metrics(api_key=KEY), readings=2)
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}


def test_a_look_that_breaks_ends_itself(monkeypatch, site):
    metrics = site(lambda _: (200, PAGE)).metrics()
    gauges = Gauges(metrics, every_s=0.001)
    monkeypatch.setattr(gauges._glances, "take", lambda **_: 1 / 0)
    gauges.begin(lambda _: None)
    gauges._thread.join(10)
    gauges.end()
    assert gauges.remark.endswith("ZeroDivisionError")


class Told:
    """Gauges that say what the test says."""

    remark = "a remark"

    def __init__(self):
        self.readings = []

    def begin(self, tell):
        self._tell = tell

    def say(self, **told):
        self.readings.append(Reading(at_s=time.perf_counter(), told=told))
        self._tell(self.readings[-1])

    def end(self):
        self.ended = True


def test_what_a_server_tells_is_among_the_resources():
    gauges, times = Told(), iter([10.0, 10.0, 11.0, 13.0, 14.0])
    sampler = Sampler([], missing={}, gauges=gauges, interval_s=3600, clock=lambda: next(times))
    sampler.begin()
    gauges.say(server_waiting=4.0)
    gauges.say(server_waiting=1.0, kv_cache_percent=50.0)
    sampler.end()
    used = sampler.taken
    waiting = used.usage["server_waiting"]
    assert (waiting.mean, waiting.peak, waiting.n) == (2.0, 4.0, 2)  # 4 for a second, 1 for two
    assert used.line == {
        "server_waiting": (None, 4.0, 1.0, None),
        "kv_cache_percent": (None, None, 50.0, None),
    }
    assert (used.at_s, used.missing) == ((0.0, 1.0, 3.0, 4.0), {})
    assert (len(sampler.readings), list(sampler.remarks), gauges.ended) == (2, ["a remark"], True)


def test_gauges_that_never_begin_close_what_they_opened(site):
    gauges = Gauges(site(lambda _: (200, PAGE)).metrics())
    sampler = Sampler([], missing={}, gauges=gauges)
    sampler.end()
    assert gauges._glances._pages._http.is_closed
    sampler.begin()
    assert (gauges._thread, list(sampler.readings), list(sampler.remarks)) == (None, [], [])
