"""The parser's list: what servers of the OpenAI dialect really stream."""

from __future__ import annotations

import json

import pytest

from pytest_llmperf.core.exchange import FailureKind, Tokens
from pytest_llmperf.wire.answer import ToolCall
from pytest_llmperf.wire.events import Delta, Finish

STOP = '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
HELLO = '{"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}'


def delta(**said):
    return json.dumps({"choices": [{"index": 0, "delta": said, "finish_reason": None}]})


def usage(given, output):
    return json.dumps({"choices": [], "usage": {"prompt_tokens": given, "completion_tokens": output}})


@pytest.mark.parametrize("content", ["", None], ids=["empty", "null"])
def test_a_role_chunk_is_no_token(content, stream):
    assert stream(delta(role="assistant", content=content), STOP, "[DONE]").carrying == 0


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_is_kept_apart_from_the_answer(field, stream):
    reading = stream(delta(**{field: "hmm"}), HELLO, STOP, "[DONE]")
    assert (reading.answer.reasoning, reading.answer.text) == ("hmm", "hello")
    first, second = reading.events[:2]
    assert (first.carries, first.answers, second.answers) == (True, False, True)


def test_empty_deltas_while_a_parser_holds_tokens_back_are_no_tokens(stream):
    assert stream(delta(content=""), delta(), HELLO, delta(content=""), STOP, "[DONE]").carrying == 1


def test_the_finish_chunk_may_carry_content(stream):
    last = '{"choices":[{"index":0,"delta":{"content":" world"},"finish_reason":"stop"}]}'
    assert stream(HELLO, last, "[DONE]").answer.text == "hello world"


def test_usage_may_come_in_a_chunk_without_choices(stream):
    assert stream(HELLO, STOP, usage(3, 5), "[DONE]").answer.tokens == Tokens(input=3, output=5)


def test_cumulative_usage_on_every_chunk_is_not_summed(stream):
    reading = stream(usage(3, 1), HELLO, usage(3, 2), STOP, usage(3, 7), "[DONE]")
    assert reading.answer.tokens == Tokens(input=3, output=7)


def test_a_server_that_ignores_include_usage_tells_no_tokens(stream):
    assert stream(HELLO, STOP, "[DONE]").answer.tokens is None


def test_null_usage_is_no_usage(stream):
    chunk = '{"choices":[{"index":0,"delta":{"content":"x"}}],"usage":null}'
    assert stream(chunk, STOP, "[DONE]").answer.tokens is None


def test_azure_may_send_a_chunk_without_choices_first(stream):
    first = '{"choices":[],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}'
    reading = stream(first, HELLO, STOP, "[DONE]")
    assert (reading.kind, reading.answer.text) == (None, "hello")


def test_litellm_sends_usage_with_an_empty_choice(stream):
    last = '{"choices":[{"delta":{}}],"usage":{"prompt_tokens":3,"completion_tokens":5}}'
    reading = stream(HELLO, STOP, last, "[DONE]")
    assert (reading.kind, reading.answer.tokens) == (None, Tokens(input=3, output=5))


def test_transformers_serve_sends_no_done_and_usage_on_the_finish_chunk(stream):
    last = (
        '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
        '"usage":{"prompt_tokens":3,"completion_tokens":5}}'
    )
    reading = stream(HELLO, last)
    assert (reading.kind, reading.answer.tokens.output) == (None, 5)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            Tokens(input=9, output=4, cached=8, reasoning=2),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": None},
            Tokens(input=9, output=4),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 3},
            Tokens(input=9, output=4, cached=3),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "reasoning_tokens": 1},
            Tokens(input=9, output=4, reasoning=1),
        ),
        ({"prompt_tokens": -1, "completion_tokens": 4.0}, Tokens(output=4)),
        ({"prompt_tokens": True, "completion_tokens": "4"}, None),
        ({"queue_time": 1}, None),
    ],
    ids=["openai", "vllm", "deepseek", "sglang", "odd-numbers", "no-numbers", "no-counts"],
)
def test_usage_of_many_servers(payload, expected, stream):
    chunk = json.dumps({"choices": [], "usage": payload})
    assert stream(HELLO, STOP, chunk, "[DONE]").answer.tokens == expected


def test_groq_hides_its_usage(stream):
    chunk = '{"choices":[],"x_groq":{"usage":{"prompt_tokens":3,"completion_tokens":5}}}'
    assert stream(HELLO, STOP, chunk, "[DONE]").answer.tokens == Tokens(input=3, output=5)


def test_usage_beats_the_timings_beside_it(stream):
    chunk = json.dumps(
        {
            "choices": [],
            "usage": {"prompt_tokens": 20, "completion_tokens": 5},
            "timings": {"prompt_n": 1, "predicted_n": 5, "prompt_ms": 2.5, "predicted_ms": -1},
        }
    )
    answer = stream(HELLO, STOP, chunk, "[DONE]").answer
    assert (answer.tokens.input, answer.times.prompt_s, answer.times.generate_s) == (20, 0.0025, None)


def test_timings_without_counts_tell_no_tokens(stream):
    assert stream(HELLO, STOP, '{"timings":{"prompt_ms":1}}', "[DONE]").answer.tokens is None


@pytest.mark.parametrize(
    ("payload", "kind", "said"),
    [
        ('{"error":{"message":"boom","type":"t","param":null,"code":500}}', FailureKind.STREAM_ERROR, "boom"),
        ('{"object":"error","message":"boom","code":400}', FailureKind.STREAM_ERROR, "boom"),
        ('{"error":{"message":"boom","http_status_code":422}}', FailureKind.STREAM_ERROR, "boom"),
        ('{"error":"boom","error_type":"generation"}', FailureKind.STREAM_ERROR, "boom"),
        ('{"detail":"boom"}', FailureKind.STREAM_ERROR, "boom"),
        ('{"detail":[{"loc":["body"],"msg":"boom"},{"msg":"bang"}]}', FailureKind.STREAM_ERROR, "boom; bang"),
        ('{"error":{"code":"boom"}}', FailureKind.STREAM_ERROR, '{"error": {"code": "boom"}}'),
        (
            '{"error":{"message":"too long","code":"context_length_exceeded"}}',
            FailureKind.CONTEXT_LENGTH,
            "too long",
        ),
        (
            '{"error":{"message":"filtered","innererror":{"code":"ResponsibleAIPolicyViolation"}}}',
            FailureKind.CONTENT_FILTER,
            "filtered",
        ),
        (
            '{"choices":[{"delta":{},"finish_reason":"error","error":{"code":502,"message":"boom"}}]}',
            FailureKind.STREAM_ERROR,
            "boom",
        ),
        (
            '{"choices":[{"delta":{},"finish_reason":"abort"}]}',
            FailureKind.STREAM_ERROR,
            "finish_reason abort",
        ),
        (
            '{"choices":[{"delta":{},"finish_reason":"error"}]}',
            FailureKind.STREAM_ERROR,
            "finish_reason error",
        ),
        (
            '{"choices":[{"delta":{},"finish_reason":{"type":"abort"}}]}',
            FailureKind.STREAM_ERROR,
            "finish_reason abort",
        ),
        (
            '{"choices":[{"delta":{},"finish_reason":"content_filter"}]}',
            FailureKind.CONTENT_FILTER,
            "finish_reason content_filter",
        ),
    ],
    ids=[
        "openai",
        "older-vllm",
        "tgi",
        "text",
        "fastapi",
        "fastapi-validation",
        "no-message",
        "context",
        "azure-filter",
        "openrouter",
        "abort",
        "error",
        "sglang-abort",
        "filter",
    ],
)
def test_an_error_after_text_is_a_failure_also_when_done_follows(payload, kind, said, stream):
    reading = stream(HELLO, payload, STOP, usage(1, 1), "[DONE]")
    assert (reading.kind, reading.message) == (kind, said)


@pytest.mark.parametrize(
    ("payload", "said"),
    [(b'{"code":3,"message":"boom"}', "boom"), (b"boom", "boom"), (b"{}", "{}"), (b"[1]", "[1]")],
    ids=["object", "text", "empty", "array"],
)
def test_an_event_named_error_is_one_whatever_it_holds(payload, said, read):
    reading = read(f"data: {HELLO}\n\n".encode(), b"event: error\ndata: " + payload + b"\n\n")
    assert (reading.kind, reading.message) == (FailureKind.STREAM_ERROR, said)


@pytest.mark.parametrize(
    "payload",
    [
        "{",
        "null",
        "[]",
        "3",
        '{"a":NaN}',
        '{"choices":{}}',
        '{"choices":[3]}',
        '{"choices":[{"delta":{"content":7}}]}',
        '{"choices":[{"delta":{"content":{"a":1}}}]}',
        "[" * 100_000,
    ],
    ids=["half", "null", "array", "number", "nan", "choices", "choice", "content", "object", "nesting"],
)
def test_what_the_dialect_does_not_allow_is_malformed(payload, stream):
    assert stream(HELLO, payload, STOP, "[DONE]").kind is FailureKind.MALFORMED


def test_bytes_that_are_not_utf8_are_malformed(read):
    chunk = b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n'
    assert read(chunk, f"data: {STOP}\n\n".encode()).kind is FailureKind.MALFORMED


def test_utf8_and_line_separators_survive_any_cut(read):
    text = "İıŞğ 😀 \u2028 \u0085 \u2029"
    data = f'data: {{"choices":[{{"delta":{{"content":"{text}"}},"finish_reason":"stop"}}]}}\n\n'.encode()
    cuts = range(len(data) + 1)
    assert {read(data[:i], data[i:]).answer.text for i in cuts} == {text}


def test_objects_of_an_unknown_kind_are_passed_over(stream):
    assert stream('{"type":"ping"}', HELLO, STOP, "[DONE]").kind is None


def test_an_empty_finish_reason_is_none(stream):
    assert (
        stream('{"choices":[{"delta":{"content":"x"},"finish_reason":""}]}', "[DONE]").kind is FailureKind.CUT
    )


def test_content_may_be_a_list_of_parts(stream):
    parts = delta(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "ref"}])
    assert stream(parts, STOP, "[DONE]").answer.text == "ab"


def test_a_refusal_is_output(stream):
    assert stream(delta(refusal="I cannot"), STOP, "[DONE]").answer.text == "I cannot"


def test_message_instead_of_delta_is_understood(stream):
    chunk = '{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}'
    assert stream(chunk, "[DONE]").answer.text == "x"


def test_every_choice_has_to_finish(stream):
    second = '{"choices":[{"index":1,"delta":{"content":"b"}}]}'
    done = '{"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}'
    assert stream(HELLO, second, STOP, "[DONE]").kind is FailureKind.CUT
    whole = stream(HELLO, second, STOP, done, "[DONE]")
    assert (whole.kind, whole.answer.text, whole.answer.finish_reason) == (None, "hello", "stop")
    assert whole.answer.characters == len("hellob")


def test_the_events_say_which_choice_they_belong_to(stream):
    events = stream('{"choices":[{"index":2,"delta":{"content":"b"},"finish_reason":"stop"}]}').events
    assert events == [Delta(content="b", choice=2), Finish(reason="stop", choice=2)]


def test_tool_calls_are_put_together_by_index(stream):
    def part(*calls):
        return delta(tool_calls=list(calls))

    reading = stream(
        part({"index": 0, "id": "a", "function": {"name": "get", "arguments": ""}}),
        part({"index": 0, "function": {"arguments": '{"ci'}}),
        part({"index": 1, "id": "b", "function": {"name": "set", "arguments": "{}"}}),
        part({"index": 0, "function": {"arguments": 'ty":1}'}}),
        '{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}',
        "[DONE]",
    )
    assert reading.answer.tool_calls == (
        ToolCall(id="a", name="get", arguments='{"city":1}'),
        ToolCall(id="b", name="set", arguments="{}"),
    )
    assert (reading.carrying, reading.answer.characters) == (4, 12)
    assert reading.answer.finish_reason == "tool_calls"


def test_vllm_ends_named_tools_with_stop(stream):
    call = delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "get", "arguments": "{}"}}])
    reading = stream(call, STOP, "[DONE]")
    assert (reading.kind, len(reading.answer.tool_calls)) == (None, 1)


@pytest.mark.parametrize("index", [0, None], ids=["all-zero", "missing"])
def test_whole_tool_calls_with_one_index_are_still_two(index, stream):
    calls = [{"index": index, "id": i, "function": {"name": "get", "arguments": "{}"}} for i in "ab"]
    assert len(stream(delta(tool_calls=calls), STOP, "[DONE]").answer.tool_calls) == 2


def test_fragments_without_an_index_continue_the_last_call(stream):
    begin = delta(tool_calls=[{"id": "a", "function": {"name": "get", "arguments": "{"}}])
    more = delta(tool_calls=[{"function": {"arguments": "}"}}])
    assert stream(begin, more, STOP, "[DONE]").answer.tool_calls == (
        ToolCall(id="a", name="get", arguments="{}"),
    )


def test_a_new_id_on_every_fragment_is_one_call(stream):
    begin = delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "get", "arguments": "{"}}])
    more = delta(tool_calls=[{"index": 0, "id": "b", "function": {"arguments": "}"}}])
    assert len(stream(begin, more, STOP, "[DONE]").answer.tool_calls) == 1


def test_the_old_function_call_is_a_tool_call(stream):
    reading = stream(
        delta(function_call={"name": "get", "arguments": "{"}),
        delta(function_call={"arguments": "}"}),
        STOP,
        "[DONE]",
    )
    assert reading.answer.tool_calls == (ToolCall(id="", name="get", arguments="{}"),)


def test_arguments_that_are_an_object_become_json_text(stream):
    call = delta(tool_calls=[{"index": 0, "function": {"name": "get", "arguments": {"a": 1}}}])
    assert stream(call, STOP, "[DONE]").answer.tool_calls[0].arguments == '{"a": 1}'


def test_a_tool_call_without_arguments_has_none(stream):
    call = delta(tool_calls=[{"index": 0, "function": {"name": "get", "arguments": None}}])
    assert stream(call, STOP, "[DONE]").answer.tool_calls[0].arguments == ""
