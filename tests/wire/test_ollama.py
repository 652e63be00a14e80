from __future__ import annotations

import json

import pytest

from pytest_llmperf.core.exchange import FailureKind, Tokens
from pytest_llmperf.wire.answer import ToolCall
from pytest_llmperf.wire.dialect import Call
from pytest_llmperf.wire.dialects import dialect
from pytest_llmperf.wire.events import ServerTimes

HI = [{"role": "user", "content": "hi"}]
STATISTICS = {
    "total_duration": 5_000_000_000,
    "load_duration": 2_000_000_000,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 130_000_000,
    "eval_count": 3,
    "eval_duration": 300_000_000,
}


def line(**fields):
    return json.dumps({"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": False, **fields}) + "\n"


def chat(content, **fields):
    return line(message={"role": "assistant", "content": content, **fields})


LAST = line(message={"role": "assistant", "content": ""}, done=True, done_reason="stop", **STATISTICS)


@pytest.fixture
def lines(read):
    def lines(*texts, **how):
        return read(*(text.encode() for text in texts), kind="ollama", **how)

    return lines


def test_a_chat_is_read_with_its_statistics(lines):
    reading = lines(chat("Mer"), chat("haba"), LAST)
    answer = reading.answer
    assert (reading.kind, answer.text, answer.finish_reason, reading.carrying) == (None, "Merhaba", "stop", 2)
    assert answer.tokens == Tokens(input=26, output=3)
    assert answer.times == ServerTimes(
        load_s=2.0, prompt_s=pytest.approx(0.13), generate_s=pytest.approx(0.3)
    )


def test_any_cut_gives_the_same_events(lines, read):
    data = (chat("Ağ 😀\u2028") + LAST).encode()
    whole = read(data, kind="ollama").events
    assert [i for i in range(len(data)) if read(data[:i], data[i:], kind="ollama").events != whole] == []


def test_a_generation_is_read(lines):
    reading = lines(line(response="Once"), line(response="", done=True, done_reason="length", **STATISTICS))
    assert (reading.answer.text, reading.answer.finish_reason) == ("Once", "length")


def test_thinking_is_reasoning(lines):
    answer = lines(chat("", thinking="hmm"), chat("42"), LAST).answer
    assert (answer.reasoning, answer.text) == ("hmm", "42")


def test_a_thinking_generation_is_reasoning(lines):
    answer = lines(line(response="", thinking="hmm"), line(response="42", done=True)).answer
    assert (answer.reasoning, answer.text, answer.finish_reason) == ("hmm", "42", "stop")


def test_a_tool_call_comes_whole_in_one_line(lines):
    calls = [{"function": {"name": "get", "arguments": {"city": "Bursa"}}}, {"function": {"name": "now"}}]
    answer = lines(chat("", tool_calls=calls), LAST).answer
    assert answer.tool_calls == (
        ToolCall(id="", name="get", arguments='{"city": "Bursa"}'),
        ToolCall(id="", name="now", arguments="{}"),
    )


def test_the_count_of_a_cached_prompt_may_be_missing(lines):
    statistics = {key: value for key, value in STATISTICS.items() if "prompt" not in key}
    answer = lines(line(response="x", done=True, **statistics)).answer
    assert (answer.tokens, answer.times.prompt_s) == (Tokens(output=3), None)


def test_durations_of_zero_are_left_out(lines):
    answer = lines(line(response="x", done=True)).answer
    assert (answer.tokens, answer.times) == (None, ServerTimes())


@pytest.mark.parametrize(
    ("texts", "complete", "kind"),
    [
        ([chat("a"), '{"error":"boom"}\n'], True, FailureKind.STREAM_ERROR),
        ([chat("a")], True, FailureKind.CUT),
        ([chat("a"), LAST[:-20]], True, FailureKind.CUT),
        ([chat("a"), LAST], False, None),
        ([chat("a"), LAST.rstrip()], True, None),
        ([chat(7), LAST], True, FailureKind.MALFORMED),
        ([line(response=["x"]), LAST], True, FailureKind.MALFORMED),
        (["not json\n", LAST], True, FailureKind.MALFORMED),
        ([], True, FailureKind.CUT),
        ([LAST.replace('"stop"', '"error"')], True, FailureKind.STREAM_ERROR),
    ],
    ids=[
        "error-line",
        "no-last-line",
        "half-a-last-line",
        "cut-after-done",
        "no-line-end",
        "number",
        "list",
        "text",
        "empty",
        "reason",
    ],
)
def test_the_end_of_an_ollama_stream(texts, complete, kind, lines):
    assert lines(*texts, complete=complete).kind is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (LAST.replace('"content": ""', '"content": "Merhaba"'), None),
        (chat("half"), FailureKind.MALFORMED),
        ('{"error":"the input length exceeds the context length"}', FailureKind.CONTEXT_LENGTH),
    ],
    ids=["whole", "not-done", "error"],
)
def test_a_plain_answer(text, kind, lines):
    assert lines(text, streamed=False).kind is kind


def test_a_chat_is_asked_for_with_options_by_their_ollama_names():
    call = Call(
        model="m",
        prompt=HI,
        schema={"type": "object"},
        tools=[{"type": "function"}],
        params={
            "max_tokens": 9,
            "temperature": 0.0,
            "keep_alive": "5m",
            "seed": None,
            "options": {"num_ctx": 4096},
        },
    )
    request = dialect("ollama").request("http://h:1/v1", call)
    assert request.url == "http://h:1/api/chat"
    assert json.loads(request.body) == {
        "model": "m",
        "messages": HI,
        "format": {"type": "object"},
        "tools": [{"type": "function"}],
        "stream": True,
        "keep_alive": "5m",
        "options": {"num_predict": 9, "temperature": 0.0, "num_ctx": 4096},
    }


def test_a_text_is_generated_from():
    request = dialect("ollama").request("http://h:1", Call(model="m", prompt="once", stream=False))
    assert request.url == "http://h:1/api/generate"
    assert json.loads(request.body) == {"model": "m", "prompt": "once", "stream": False}


def test_options_must_be_a_mapping():
    with pytest.raises(TypeError, match="options"):
        dialect("ollama").request("http://h:1", Call(model="m", prompt="x", params={"options": 3}))
