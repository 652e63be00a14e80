from __future__ import annotations

import json

import pytest

from pytest_llmperf.wire.dialect import Call
from pytest_llmperf.wire.dialects import dialect
from pytest_llmperf.wire.schema_format import is_strict, response_format

HI = [{"role": "user", "content": "hi"}]
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}
CLOSED = {**OPEN, "required": ["a"], "additionalProperties": False}


def sent(kind="openai", **call):
    request = dialect(kind).request("http://h:1", Call(**{"model": "m", "prompt": HI, **call}))
    return request.url, json.loads(request.body)


def test_a_stream_asks_for_usage():
    assert sent() == (
        "http://h:1/v1/chat/completions",
        {"model": "m", "messages": HI, "stream": True, "stream_options": {"include_usage": True}},
    )


def test_a_plain_call_asks_for_no_stream():
    assert sent(stream=False)[1] == {"model": "m", "messages": HI}


def test_a_text_is_completed():
    url, body = sent(prompt="once", stream=False)
    assert (url, body) == ("http://h:1/v1/completions", {"model": "m", "prompt": "once"})


def test_tools_and_parameters_are_passed_through():
    tools = [{"type": "function", "function": {"name": "get"}}]
    body = sent(tools=tools, params={"temperature": 0.0, "tool_choice": "required"})[1]
    assert (body["tools"], body["temperature"], body["tool_choice"]) == (tools, 0.0, "required")


def test_none_leaves_a_parameter_out_even_a_default():
    body = sent(params={"stream_options": None, "max_tokens": None})[1]
    assert body.keys() == {"model", "messages", "stream"}


def test_a_schema_is_sent_as_response_format():
    assert sent(schema=CLOSED)[1]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": CLOSED, "strict": True},
    }


def test_a_title_becomes_a_name_that_openai_takes():
    name = response_format({"title": "Günün rotası"})["json_schema"]["name"]
    assert name == "G_n_n_rotas_"


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        (OPEN, False),
        ({**CLOSED, "required": []}, False),
        ({"type": "array", "items": OPEN}, False),
        ({"anyOf": [CLOSED, OPEN]}, False),
        ({**CLOSED, "properties": {"a": OPEN}}, False),
        ({**CLOSED, "properties": {"a": CLOSED}}, True),
        ({"enum": [{"type": "object"}]}, True),
        ({"type": "string"}, True),
    ],
    ids=["closed", "open", "optional", "items", "any-of", "nested", "nested-closed", "enum", "text"],
)
def test_strict_is_claimed_only_where_openai_allows_it(schema, strict):
    assert is_strict(schema) is strict


@pytest.mark.parametrize("kind", ["openai", "ollama"])
@pytest.mark.parametrize("value", [float("nan"), object()], ids=["nan", "object"])
def test_what_is_not_json_is_refused(kind, value):
    with pytest.raises((TypeError, ValueError)):
        sent(kind, params={"temperature": value})


def test_half_a_surrogate_can_be_sent():
    assert sent(prompt="\ud800")[1]["prompt"] == "\ud800"
