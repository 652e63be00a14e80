"""What both clients report of answers that are whole."""

from __future__ import annotations

import time

import pytest

from pytest_llmperf.core.exchange import Tokens, TokenSource
from pytest_llmperf.tokens import TokenCount


def test_a_stream_becomes_a_reply(wire, client, say):
    reply = client(wire([say.whole]).url).chat("hi")
    assert (reply.text, reply.finish_reason) == ("hello world", "stop")
    assert reply.tokens == Tokens(input=7, output=2)
    assert len(reply.raw) == 5


def test_a_stream_is_recorded_once_with_its_stamps_in_order(wire, client, say):
    asker = client(
        wire([say.sse, say.role, 0.01, say.hello, 0.01, say.world, say.stop, say.done, say.last]).url
    )
    reply = asker.chat("hi")
    seen = asker.exchange
    assert seen == reply.exchange
    assert seen.streamed
    assert seen.due_s <= seen.sent_s <= seen.first_byte_s <= seen.first_token_s <= seen.done_s
    first, second = seen.chunk_s
    assert first < second
    assert seen.chunk_s[0] == seen.first_token_s == seen.first_answer_s
    assert seen.characters == len("hello world")
    assert reply.ttft_ms == seen.ttft_s * 1e3
    assert reply.latency_ms == seen.latency_s * 1e3


def test_the_role_chunk_is_not_the_first_token(wire, client, say, taken):
    asker = client(wire([say.sse + say.role, taken, say.hello, say.stop, say.done, say.last]).url)
    asker.chat("hi")
    assert asker.exchange.first_token_s > asker.exchange.first_byte_s


def test_reasoning_is_the_first_token_but_not_the_first_answer(wire, client, say, taken):
    thought = say.event(delta={"reasoning_content": "hmm"})
    asker = client(wire([say.sse + thought, taken, say.hello + say.stop + say.done + say.last]).url)
    reply = asker.chat("hi")
    assert reply.reasoning == "hmm"
    assert asker.exchange.first_answer_s > asker.exchange.first_token_s


def test_chunks_of_one_read_share_their_stamp(wire, client, say):
    asker = client(wire([say.whole]).url)
    asker.chat("hi")
    assert len(set(asker.exchange.chunk_s)) == 1


def test_waiting_for_usage_and_the_end_belongs_to_the_latency(wire, client, say, taken):
    asker = client(wire([say.sse + say.hello + say.stop, taken, say.usage + say.done + say.last]).url)
    asker.chat("hi")
    assert asker.exchange.done_s > asker.exchange.chunk_s[-1]


def test_waiting_for_the_last_byte_alone_belongs_to_the_latency(wire, client, say, taken):
    asker = client(wire([say.whole.removesuffix(say.last), taken, say.last]).url)
    asker.chat("hi")
    assert asker.exchange.done_s > asker.exchange.chunk_s[-1]


def test_a_plain_answer_has_a_latency_and_no_ttft(wire, client, say):
    asker = client(wire([say.plain(say.answer)]).url)
    reply = asker.chat("hi", stream=False)
    assert (reply.text, reply.ttft_ms, reply.exchange.streamed) == ("hello world", None, False)
    assert (asker.exchange.chunk_s, asker.exchange.first_byte_s is None) == ((), False)


def test_a_server_that_ignores_stream_is_measured_as_what_it_did(wire, client, say):
    reply = client(wire([say.plain(say.answer)]).url).chat("hi", stream=True)
    assert (reply.text, reply.exchange.streamed, reply.ttft_ms) == ("hello world", False, None)


def test_a_server_that_streams_unasked_is_measured_as_what_it_did(wire, client, say):
    reply = client(wire([say.whole]).url).chat("hi", stream=False)
    assert (reply.text, reply.exchange.streamed) == ("hello world", True)


def test_without_usage_the_tokens_are_an_estimate_and_say_so(wire, client, say):
    silent = say.sse + say.hello + say.world + say.stop + say.done + say.last
    reply = client(wire([silent]).url).chat("one two three four five", system="be brief")
    assert reply.tokens == Tokens(input=8, output=3, source=TokenSource.ESTIMATE)


def test_half_a_usage_is_filled_up_and_marked(wire, client, say):
    half = say.chunk(b'data: {"choices":[],"usage":{"completion_tokens":9}}\n\n')
    stream = say.sse + say.hello + say.stop + half + say.done + say.last
    reply = client(wire([stream]).url).complete("one two three")
    assert reply.tokens == Tokens(input=4, output=9, source=TokenSource.ESTIMATE)


def test_tool_calls_are_handed_on(wire, client, say):
    call = say.event(
        delta={"tool_calls": [{"index": 0, "id": "a", "function": {"name": "get", "arguments": "{}"}}]}
    )
    end = say.event(delta={}, finish_reason="tool_calls")
    reply = client(wire([say.sse + call + end + say.done + say.last]).url).chat(
        "hi", tools=[{"type": "function"}]
    )
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("get", "{}")]
    assert reply.exchange.first_token_s is not None


def test_messages_system_and_parameters_are_sent(wire, client, say):
    server = wire([say.whole])
    client(server.url).chat([{"role": "user", "content": "hi"}], system="be brief", temperature=0.0)
    assert server.bodies[0] == {
        "model": "m",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
    }


def test_a_completion_is_asked_for(wire, client, say):
    server = wire(
        [say.sse + say.chunk(b'data: {"choices":[{"text":"x","finish_reason":"stop"}]}\n\n') + say.last]
    )
    assert client(server.url).complete("once").text == "x"
    assert server.requests[0].startswith(b"POST /v1/completions HTTP/1.1\r\n")


def test_compression_is_not_accepted_and_the_key_is_sent(wire, client, say):
    server = wire([say.whole])
    client(server.url, api_key="secret-key").chat("hi")
    head = server.requests[0].lower()
    assert b"accept-encoding: identity\r\n" in head
    assert b"authorization: bearer secret-key\r\n" in head


def test_a_password_in_the_url_is_sent_as_basic_authorization(wire, client, say):
    server = wire([say.whole])
    client(server.url.replace("http://", "http://ada:p%40ss@")).chat("hi")
    assert b"authorization: basic YWRhOnBAc3M=\r\n".lower() in server.requests[0].lower()


def test_a_request_is_one_packet(wire, client, say):
    server = wire([say.whole])
    client(server.url).chat("hi")
    assert server.requests[0].count(b"\r\n\r\n{") == 1


def test_the_ollama_dialect_is_measured_alike(wire, client, say):
    lines = (
        b'{"message":{"role":"assistant","content":"hello "},"done":false}\n',
        b'{"message":{"content":""},"done":true,"prompt_eval_count":5,"eval_count":1}\n',
    )
    head = say.sse.replace(b"text/event-stream", b"application/x-ndjson")
    server = wire([head, *map(say.chunk, lines), say.last])
    reply = client(server.url, kind="ollama").chat("hi")
    assert (reply.text, reply.tokens, reply.exchange.streamed) == ("hello ", Tokens(input=5, output=1), True)
    assert server.requests[0].startswith(b"POST /api/chat ")


@pytest.mark.parametrize("model", [None, "given"])
def test_the_model_is_the_one_given_or_the_first_that_is_listed(model, wire, client, say):
    server = wire(
        *([] if model else [[say.plain({"data": [{"id": "listed"}, {"id": "other"}]}), say.CLOSE]]),
        [say.whole],
    )
    asker = client(server.url, model=model)
    assert asker.chat("hi").exchange.model == (model or "listed")


def test_what_the_server_leaves_out_is_counted_by_who_can(wire, client, say):
    asked = []

    def count(text):
        asked.append(text)
        return TokenCount(40 + len(asked), TokenSource.TOKENIZER, "tokenizer t.json")

    silent = say.sse + say.hello + say.stop + say.done + say.last
    asker = client(wire([silent], [say.whole]).url, count=count)
    assert asker.chat("hi").tokens == Tokens(input=41, output=42, source=TokenSource.TOKENIZER)
    assert asker.chat("hi").tokens == Tokens(input=7, output=2)
    assert asked == [[{"role": "user", "content": "hi"}], "hello"]


def test_counting_is_no_part_of_the_latency(wire, client, say):
    began_s = []

    def count(_text):
        began_s.append(time.perf_counter())
        return TokenCount(1)

    silent = say.sse + say.hello + say.stop + say.done + say.last
    seen = client(wire([silent]).url, count=count).chat("hi").exchange
    assert seen.done_s < began_s[0]


def test_the_servers_own_times_are_recorded(wire, client, say):
    last = b'{"message":{"content":"x"},"done":true,"load_duration":2000000000,"eval_duration":500000000}'
    seen = client(wire([say.plain(last)]).url, kind="ollama").chat("hi", stream=False).exchange
    assert (seen.server_load_s, seen.server_prompt_s, seen.server_generate_s) == (2.0, None, 0.5)


def test_counts_from_two_sources_are_marked_by_the_less_certain_one(wire, client, say):
    sources = iter([TokenSource.ESTIMATE, TokenSource.TOKENIZER])
    silent = say.sse + say.hello + say.stop + say.done + say.last
    asker = client(wire([silent]).url, count=lambda _: TokenCount(1, next(sources)))
    assert asker.chat("hi").tokens.source is TokenSource.ESTIMATE


def test_the_raw_answer_is_what_came(wire, client, say):
    raw = client(wire([say.whole]).url).chat("hi").raw
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in raw[:3]) == "hello world"
