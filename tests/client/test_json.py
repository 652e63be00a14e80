"""JSON that was asked for is checked and counted, whether or not anyone reads it."""

from __future__ import annotations

import pickle

import pytest

from pytest_llmperf.client.reply import InvalidJson
from pytest_llmperf.core.errors import LlmPerfUsageError

ROUTE = {
    "type": "object",
    "properties": {"route": {"enum": ["calendar", "weather"]}},
    "required": ["route"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"route":"calendar"}', True),
        (' {"route":"weather"}\n', True),
        ('{"route":"chat"}', False),
        ("{}", False),
        ('{"route":"calendar"', False),
        ('```json\n{"route":"calendar"}\n```', False),
        ("", False),
        ("NaN", False),
        ("[" * 100_000, False),
        ("9" * 5000, False),
    ],
    ids=["valid", "spaces", "value", "missing", "cut", "fenced", "empty", "nan", "nested", "huge-number"],
)
def test_a_reply_to_a_schema_is_checked_without_being_read(text, valid, wire, client, say):
    asker = client(wire([say.text(text)]).url)
    asker.chat("hi", schema=ROUTE)
    assert asker.exchange.json_valid is valid


def test_the_schema_is_sent(wire, client, say):
    server = wire([say.text("{}")])
    client(server.url).chat("hi", schema=ROUTE)
    sent = server.bodies[0]["response_format"]["json_schema"]
    assert (sent["schema"], sent["strict"]) == (ROUTE, True)


def test_valid_json_is_parsed(wire, client, say):
    reply = client(wire([say.text('{"route":"calendar"}')]).url).chat("hi", schema=ROUTE)
    assert reply.json == {"route": "calendar"}


def test_json_that_is_null_is_valid(wire, client, say):
    asker = client(wire([say.text("null")]).url)
    assert asker.chat("hi").json is None
    assert asker.exchange.json_valid is True


def test_reading_invalid_json_raises_and_says_where(wire, client, say):
    reply = client(wire([say.text('{"route":"chat"}')]).url).chat("hi", schema=ROUTE)
    with pytest.raises(
        InvalidJson, match=r"\$\.route: 'chat' is not one of \['calendar', 'weather'\]"
    ) as caught:
        reply.json  # noqa: B018 - reading raises
    assert caught.value.reply is reply


def test_without_a_schema_json_counts_once_it_is_read(wire, client, say):
    asker = client(wire([say.text("oops")]).url)
    reply = asker.chat("hi")
    assert asker.exchange.json_valid is None
    for _ in range(2):
        with pytest.raises(InvalidJson):
            reply.json  # noqa: B018 - reading raises
    assert asker.exchange.json_valid is False
    assert reply.exchange == asker.exchange


@pytest.mark.parametrize(
    ("params", "text", "valid"),
    [
        ({"response_format": {"type": "json_object"}}, "[]", True),
        ({"response_format": {"type": "json_object"}}, "oops", False),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": ROUTE}}}, "[]", False),
        ({"response_format": {"type": "text"}}, "oops", None),
        ({"format": "json"}, "oops", False),
    ],
    ids=["any", "any-invalid", "schema", "text", "ollama"],
)
def test_json_asked_for_by_parameters_is_checked_too(params, text, valid, wire, client, say):
    asker = client(wire([say.text(text)]).url)
    asker.chat("hi", **params)
    assert asker.exchange.json_valid is valid


def test_a_tool_call_instead_of_json_is_not_judged(wire, client, say):
    call = say.event(delta={"tool_calls": [{"index": 0, "id": "a", "function": {"name": "get"}}]})
    asker = client(wire([say.sse + call + say.stop + say.done + say.last]).url)
    asker.chat("hi", schema=ROUTE, tools=[])
    assert asker.exchange.json_valid is None


def test_a_pydantic_model_is_a_schema(wire, client, say):
    class Route:
        @staticmethod
        def model_json_schema():
            return ROUTE

    asker = client(wire([say.text("{}")]).url)
    asker.chat("hi", schema=Route)
    assert asker.exchange.json_valid is False


@pytest.mark.parametrize(
    "schema", [{"type": "nosuchtype"}, 7, {"a": object()}], ids=["wrong", "number", "object"]
)
def test_what_is_no_schema_is_refused_before_anything_is_sent(schema, wire, client, say):
    server = wire([say.whole])
    with pytest.raises(LlmPerfUsageError, match="schema="):
        client(server.url).chat("hi", schema=schema)
    assert server.requests == []


def test_parameters_that_are_not_json_are_refused(wire, client, say):
    asker = client(wire([say.whole]).url)
    with pytest.raises(LlmPerfUsageError, match="cannot be sent as JSON"):
        asker.chat("hi", temperature=object())
    assert asker.exchanges == []


def test_invalid_json_pickles_with_its_reply(wire, client, say):
    reply = client(wire([say.text("oops")]).url).chat("hi", schema=ROUTE)
    with pytest.raises(InvalidJson) as caught:
        reply.json  # noqa: B018 - reading raises
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.reply.text) == (str(caught.value), "oops")
    assert "oops" in repr(copy.reply)
