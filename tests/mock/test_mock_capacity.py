from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

TEXT = "a b c d e f g h i"  # ten tokens with the end


def metrics(ask, server):
    page = ask(server, "/metrics").body.decode()
    return {
        name: float(value)
        for name, value in re.findall(
            r'^vllm:(\w+)\{engine="0",model_name="[^"]*"\} (\S+)$', page, re.MULTILINE
        )
    }


def together(chat, server, count, **params):
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: chat(server, **params), range(count)))


def engine(start, latency=None, **capacity):
    return start(
        latency={"ttft": "20ms", "itl": "1ms"} | (latency or {}),
        replies=[{"regex": "", "text": TEXT}],
        capacity=capacity,
    )


def spans(server):
    return [(request.arrived_s, request.first_token_s, request.last_byte_s) for request in server.requests]


def test_requests_past_the_places_wait_for_one(start, chat):
    server = engine(start, running=2)
    together(chat, server, 6, stream=True)
    events = sorted(
        [(first - 0.020, 1) for _, first, _ in spans(server)] + [(last, -1) for _, _, last in spans(server)]
    )
    running = peak = 0
    for _, change in events:
        running += change
        peak = max(peak, running)
    assert peak == 2


def test_the_queue_is_served_in_order(start, chat):
    server = engine(start, running=1)
    together(chat, server, 5, stream=True)
    by_arrival = sorted(spans(server))
    assert [first for _, first, _ in by_arrival] == sorted(first for _, first, _ in by_arrival)


def test_a_full_queue_refuses_with_503(start, chat, ask):
    server = engine(start, running=1, waiting=1)
    answers = together(chat, server, 6)
    assert sorted(answer.status for answer in answers) == [200, 200, 503, 503, 503, 503]
    refused = next(answer for answer in answers if answer.status == 503)
    assert refused.headers["retry-after"] == "1"
    page = ask(server, "/metrics").body.decode()
    assert re.search(r"^vllm:admission_rejections_total\{.*\} 4\.0$", page, re.MULTILINE)


def test_a_batch_decodes_slower(start, chat):
    server = engine(start, {"itl": "2ms"}, running=8, slowdown=0.5)
    chat(server, stream=True)
    together(chat, server, 4, stream=True)
    alone, *crowd = [last - first for _, first, last in spans(server)]
    assert max(crowd) > 1.6 * alone


def test_a_prefill_holds_up_those_who_decode(start, chat, ask):
    server = engine(start, {"ttft": "0", "itl": "10ms", "prefill": "1ms"}, running=8)
    slow = threading.Thread(target=chat, args=(server, "a"), kwargs={"stream": True})
    slow.start()
    while metrics(ask, server)["num_requests_running"] < 1:
        pass
    chat(server, "x" * 400)  # a hundred tokens: 100 ms of prefill
    slow.join()
    short = min((one for one in server.requests if one.body), key=lambda request: len(request.body))
    assert short.last_byte_s - short.arrived_s >= 0.09 + 0.1


def test_littles_law_holds(start, chat):
    """The mean number inside is the rate times the mean stay."""
    server = engine(start, {"ttft": "5ms"}, running=4)
    together(chat, server, 4, stream=True)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: chat(server, stream=True), range(60)))
    inside = [(start, end) for start, _, end in spans(server)]
    begin, end = min(start for start, _ in inside), max(end for _, end in inside)
    steps = sorted([(start, 1) for start, _ in inside] + [(end, -1) for _, end in inside])
    area, present, before = 0.0, 0, begin
    for at, change in steps:
        area += present * (at - before)
        present, before = present + change, at
    stay = sum(end - start for start, end in inside) / len(inside)
    assert area / (end - begin) == pytest.approx(len(inside) / (end - begin) * stay)


def test_throughput_stops_growing_at_the_places_of_the_engine(start, chat):
    server = engine(start, {"ttft": "20ms", "itl": "0"}, running=4)

    def rate(users):
        server.reset()
        with ThreadPoolExecutor(users) as pool:
            list(pool.map(lambda _: chat(server, stream=True), range(6 * users)))
        times = spans(server)
        return len(times) / (max(last for *_, last in times) - min(arrived for arrived, *_ in times))

    one, four, twelve = rate(1), rate(4), rate(12)
    assert four > 2 * one
    assert twelve <= 4 / 0.020


def test_the_cache_limits_who_runs_together(start, chat, ask):
    server = engine(start, kv_tokens=30)
    together(chat, server, 4, stream=True)  # 12 tokens each: two at a time
    by_first = sorted(spans(server), key=lambda span: span[1])
    assert by_first[2][1] >= by_first[0][2]
    assert metrics(ask, server)["kv_cache_usage_perc"] == 0


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
    for _ in range(2):
        chat(server, "x" * 2000)
    cold, warm = ((request.first_token_s - request.arrived_s) for request in server.requests)
    assert cold >= 0.25 > 2 * warm


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


def test_metrics_show_who_runs_and_who_waits(start, chat, ask):
    server = engine(start, {"ttft": "300ms"}, running=2)
    threads = [threading.Thread(target=chat, args=(server,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    while (found := metrics(ask, server))["num_requests_running"] + found["num_requests_waiting"] < 5:
        pass
    assert (found["num_requests_running"], found["num_requests_waiting"]) == (2, 3)
    for thread in threads:
        thread.join()


def test_a_client_that_leaves_gives_its_place_back(start, chat, raw_exchange):
    import socket

    server = engine(start, {"ttft": "5s"}, running=1)
    body = b'{"messages": [{"role": "user", "content": "a"}]}'
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
    server.latency(ttft="1ms")
    assert chat(server).status == 200
    assert server.requests[0].status == 200  # begun, never finished
    assert server.requests[0].last_byte_s is None
