from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from pytest_llmperf.mock.delivery import Delivery
from pytest_llmperf.mock.engine import Capacity, Engine
from pytest_llmperf.mock.plan import Plan

TEXT = "a b c d e f g h i"  # ten tokens with the end


def metrics(ask, server):
    page = ask(server, "/metrics").body.decode()
    return {
        name: float(value)
        for name, value in re.findall(
            r'^vllm:(\w+)\{engine="0",model_name="[^"]*"\} (\S+)$', page, re.MULTILINE
        )
    }


def engine(start, latency=None, **capacity):
    return start(
        latency={"ttft": "20ms", "itl": "1ms"} | (latency or {}),
        replies=[{"regex": "", "text": TEXT}],
        capacity=capacity,
    )


def said(answer):
    events = [event for event in answer.events[:-1] if event["choices"]]
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events)


def spans(server):
    return [(request.arrived_s, request.first_token_s, request.last_byte_s) for request in server.requests]


def test_requests_past_the_places_wait_for_one(start, together):
    server = engine(start, running=2)
    together(server, 6, stream=True)
    events = sorted(
        [(first - 0.020, 1) for _, first, _ in spans(server)] + [(last, -1) for _, _, last in spans(server)]
    )
    running = peak = 0
    for _, change in events:
        running += change
        peak = max(peak, running)
    assert peak == 2


def test_the_queue_is_served_in_order(start, together):
    server = engine(start, running=1)
    together(server, 5, stream=True)
    by_arrival = sorted(spans(server))
    assert [first for _, first, _ in by_arrival] == sorted(first for _, first, _ in by_arrival)


def asked(server):
    """A request whose answer nobody waits for."""
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "merhaba"}]}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def test_a_full_queue_refuses_with_503(start, chat, ask):
    server = engine(start, {"ttft": "10m"}, running=1, waiting=1)
    with contextlib.ExitStack() as connections:
        for place in ("num_requests_running", "num_requests_waiting"):
            connections.enter_context(asked(server))
            while metrics(ask, server)[place] < 1:
                pass
        answers = [chat(server) for _ in range(4)]
        page = ask(server, "/metrics").body.decode()
    assert [(answer.status, answer.headers["retry-after"]) for answer in answers] == [(503, "1")] * 4
    assert re.search(r"^vllm:admission_rejections_total\{.*\} 4\.0$", page, re.MULTILINE)


def test_a_batch_decodes_slower(start, chat, together):
    server = engine(start, {"itl": "2ms"}, running=8, slowdown=0.5)
    for _ in range(3):
        chat(server, stream=True)
    together(server, 4, stream=True)
    times = [last - first for _, first, last in spans(server)]
    assert max(times[3:]) > 1.6 * min(times[:3])


def test_a_prefill_holds_up_those_who_decode(start, chat, ask):
    server = engine(start, {"ttft": "0", "itl": "80ms", "prefill": "1ms"}, running=8)
    slow = threading.Thread(target=chat, args=(server, "a"), kwargs={"stream": True})
    slow.start()
    while metrics(ask, server)["num_requests_running"] < 1:
        pass
    chat(server, "x" * 400)  # a hundred tokens: 100 ms of prefill
    slow.join()
    short = min((one for one in server.requests if one.body), key=lambda request: len(request.body))
    assert short.last_byte_s - short.arrived_s >= 9 * 0.08 + 0.1


def test_littles_law_holds(start, chat, ask):
    """The queue's mean length, sampled, is the rate times the mean wait that the histogram tells."""
    server = engine(start, {"ttft": "20ms", "itl": "0"}, running=2)
    samples, over = [], threading.Event()

    def sample():
        while not over.is_set():
            samples.append((time.perf_counter(), metrics(ask, server)["num_requests_waiting"]))
            over.wait(0.002)

    sampler = threading.Thread(target=sample)
    sampler.start()
    began_s = time.perf_counter()
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: chat(server, stream=True), range(80)))
    took_s = time.perf_counter() - began_s
    over.set()
    sampler.join()
    pairs = list(pairwise([*samples, (began_s + took_s, 0.0)]))
    # Between two samples the length was between theirs: on a busy machine they are far from each other.
    least, most = (
        sum(end(before, after) * (later - at) for (at, before), (later, after) in pairs) for end in (min, max)
    )
    found = metrics(ask, server)
    assert found["request_queue_time_seconds_count"] == 80
    assert 0.75 * least < found["request_queue_time_seconds_sum"] < 1.25 * most
    assert found["request_queue_time_seconds_sum"] > 2 * took_s


def test_throughput_stops_growing_at_the_places_of_the_engine(start, chat):
    server = engine(start, {"ttft": "20ms", "itl": "0"}, running=4)

    def rate(users):
        server.reset()
        with ThreadPoolExecutor(users) as pool:
            list(pool.map(lambda _: chat(server, stream=True), range(6 * users)))
        times = spans(server)
        return len(times) / (max(last for *_, last in times) - min(arrived for arrived, *_ in times))

    # No rate is too high, and on a busy machine not every one is too low.
    assert max(rate(4) for _ in range(3)) > 2 * 1 / 0.020
    assert rate(12) <= 4 / 0.020


def test_prompts_that_do_not_fit_the_cache_wait(start, together, ask):
    server = engine(start, kv_tokens=30)
    together(server, 4, text="x" * 52, stream=True)  # a prompt of 13 tokens: two at a time
    by_first = sorted(spans(server), key=lambda span: span[1])
    assert by_first[2][1] >= by_first[0][1] + 0.02
    assert metrics(ask, server)["kv_cache_usage_perc"] == 0


def test_without_room_for_another_token_the_newest_sequence_is_preempted(start, together, ask):
    server = engine(start, {"ttft": "20ms", "itl": "5ms"}, kv_tokens=24)
    answers = together(server, 3, text="x" * 16, stream=True)  # 5 + 5 + 5 at first, 3 x 14 in the end
    assert {said(answer) for answer in answers} == {TEXT}
    found = metrics(ask, server)
    assert found["num_preemptions_total"] >= 1
    assert found["kv_cache_usage_perc"] == found["num_requests_running"] == found["num_requests_waiting"] == 0
    decoding = sorted(last - first for _, first, last in spans(server))
    assert decoding[0] < decoding[-1] - 0.01  # one ran through, one had to wait in the middle


def test_with_room_for_all_nobody_is_preempted(start, together, ask):
    server = engine(start, kv_tokens=24 * 3)
    together(server, 3, text="x" * 16, stream=True)
    assert metrics(ask, server)["num_preemptions_total"] == 0


def test_a_preempted_sequence_computes_again_what_it_held(start, together, ask):
    server = engine(start, {"ttft": "0", "itl": "20ms", "prefill": "2ms"}, kv_tokens=24, prefill_steals=False)
    together(server, 2, text="x" * 40, stream=True)  # 11 + 11, 40 in the end
    assert metrics(ask, server)["num_preemptions_total"] >= 1
    # From the arrival: a busy machine may write the first token late, and the others when they are due.
    longest = max(last - arrived for arrived, _, last in spans(server))
    assert longest >= 11 * 0.002 + 9 * 0.020 + 11 * 0.002


class Waiting:
    """Timers that never fire, and a call that nobody made."""

    arrived_ns = 0
    done = False

    def at(self, *_):
        pass


def sequence(prompt, prefill_ns=1000):
    plan = Plan(head=b"", parts=[b""] * 100, stream=True, ttft_ns=10**15, gaps=10_000)
    one = Delivery(Waiting(), plan, timers=Waiting(), watcher=None, tokens=prompt)
    one.prefill_ns, one.timing.prefilled_ns = prefill_ns, prompt * prefill_ns
    return one


@pytest.mark.parametrize(
    ("chunk", "gaps"),
    [
        (None, [70_000, 10_000, 10_000, 10_000]),
        (20, [30_000, 30_000, 30_000, 10_000]),
        (25, [35_000, 35_000, 20_000, 10_000]),
    ],
)
def test_chunked_prefill_spreads_what_it_takes_over_many_steps(chunk, gaps):
    """Sixty tokens of prompt take 60 us from a sequence that decodes: in one gap, or in several."""
    engine = Engine(Capacity(chunk=chunk))
    decoding = sequence(1)
    engine.submit(decoding)
    engine.submit(sequence(60))
    assert [engine.pace(decoding, 10_000) for _ in gaps] == gaps


def test_the_oldest_sequence_is_never_preempted():
    engine = Engine(Capacity(kv_tokens=20))
    old, middle, new = (sequence(4) for _ in range(3))
    for one in (old, middle, new):
        engine.submit(one)
    for _ in range(40):
        engine.pace(old, 1)
    assert (old.paused, middle.paused, new.paused) == (False, True, True)
    assert (engine.preemptions, engine.running, engine.waiting) == (2, 1, 2)
    engine.ended(old)
    assert (middle.paused, new.paused, engine.kv_used) == (False, False, 10)


def test_a_prompt_in_chunks_waits_for_the_others_between_them(start, chat, ask):
    server = engine(start, {"ttft": "0", "itl": "80ms", "prefill": "1ms"}, running=8, chunk=10)
    other = threading.Thread(target=chat, args=(server, "a"), kwargs={"stream": True})
    other.start()
    while metrics(ask, server)["num_requests_running"] < 1:
        pass
    chat(server, "x" * 160, stream=True)  # forty tokens in four chunks, three steps of the other between them
    other.join()
    long = max(server.requests, key=lambda request: len(request.body))
    assert long.first_token_s - long.arrived_s >= 0.040 + 3 * 0.080


def test_a_request_larger_than_the_cache_runs_alone(start, chat):
    assert chat(engine(start, kv_tokens=5)).status == 200


def test_prompts_that_begin_alike_hit_the_prefix_cache(start, chat, ask):
    server = engine(start, prefix_cache=True, kv_tokens=10_000, block=16)
    prefix = "sen yardımsever bir asistansın. " * 40
    messages = [{"role": "system", "content": prefix}, {"role": "user", "content": "bir"}]
    first = chat(server, messages=messages).json["usage"]
    second = chat(server, messages=[messages[0], {"role": "user", "content": "başka"}]).json["usage"]
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    cached = second["prompt_tokens_details"]["cached_tokens"]
    assert 0.9 * 320 <= cached < second["prompt_tokens"]
    assert metrics(ask, server)["prefix_cache_hits_total"] == cached
    assert (
        metrics(ask, server)["prefix_cache_queries_total"] == first["prompt_tokens"] + second["prompt_tokens"]
    )
    assert ask(server, "/reset_prefix_cache", b"").status == 200
    assert chat(server, messages=messages).json["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def test_cached_tokens_take_no_prefill_time(start, chat):
    server = engine(start, {"ttft": "0", "prefill": "500us"}, prefix_cache=True)
    for _ in range(5):
        chat(server, "x" * 2000)
    cold, *warm = ((request.first_token_s - request.arrived_s) for request in server.requests)
    assert cold >= 0.25 > 2 * min(warm)


def test_metrics_agree_with_what_was_answered(start, chat, ask):
    server = engine(start)
    answers = [chat(server, "x" * 10, max_tokens=limit).json for limit in (50, 50, 3)]
    found = metrics(ask, server)
    usage = [answer["usage"] for answer in answers]
    assert found["prompt_tokens_total"] == sum(one["prompt_tokens"] for one in usage)
    assert found["generation_tokens_total"] == sum(one["completion_tokens"] for one in usage)
    assert found["e2e_request_latency_seconds_count"] == found["time_to_first_token_seconds_count"] == 3
    assert found["inter_token_latency_seconds_count"] == found["generation_tokens_total"] - 3
    assert found["e2e_request_latency_seconds_sum"] == pytest.approx(0.029 + 0.029 + 0.022)
    assert found["time_to_first_token_seconds_sum"] == pytest.approx(0.060)
    page = ask(server, "/metrics").body.decode()
    assert 'request_success_total{engine="0",finished_reason="length",model_name="mock"} 1.0' in page
    assert 'request_success_total{engine="0",finished_reason="stop",model_name="mock"} 2.0' in page
    assert found["num_requests_running"] == found["num_requests_waiting"] == 0


def test_metrics_show_who_runs_and_who_waits(start, ask):
    server = engine(start, {"ttft": "10m"}, running=2)
    with contextlib.ExitStack() as connections:
        for _ in range(5):
            connections.enter_context(asked(server))
        while (found := metrics(ask, server))["num_requests_running"] + found["num_requests_waiting"] < 5:
            pass
    assert (found["num_requests_running"], found["num_requests_waiting"]) == (2, 3)


def test_a_client_that_leaves_gives_its_place_back(start, chat, raw_exchange):
    server = engine(start, {"ttft": "5s"}, running=1)
    body = b'{"messages": [{"role": "user", "content": "a"}]}'
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n" % len(body) + body
        )
    server.latency(ttft="1ms")
    assert chat(server).status == 200
    assert server.requests[0].status == 200  # begun, never finished
    assert server.requests[0].last_byte_s is None


def test_without_limits_the_cache_holds_what_is_under_way(start, ask):
    server = start(latency={"ttft": "0", "itl": "60s"}, max_model_len=20_000)
    with contextlib.ExitStack() as clients:
        for stream in ("true", "false"):
            body = b'{"messages": [{"role": "user", "content": "%s"}], "stream": %s}'
            body %= b"x" * 40_000, stream.encode()  # 10 000 tokens
            client = clients.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n" % len(body) + body
            )
        while (found := metrics(ask, server))["num_requests_running"] < 2:
            pass
    assert found["kv_cache_usage_perc"] == pytest.approx(20_000 / 1_048_576, rel=0.01)


def test_vllm_tells_what_it_is_asked_for_alone(start, ask):
    server = start()
    page = ask(server, "/metrics/?name[]=vllm:kv_cache_usage_perc&name%5B%5D=vllm:nothing").body.decode()
    assert page == (
        "# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.\n"
        "# TYPE vllm:kv_cache_usage_perc gauge\n"
        'vllm:kv_cache_usage_perc{engine="0",model_name="mock"} 0.0\n'
    )
    assert ask(server, "/metrics/").body == ask(server, "/metrics").body
