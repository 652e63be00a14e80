from __future__ import annotations

import json
import socket
import threading

import jsonschema
import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.config import parse_config
from pytest_llmperf.mock.folding import Folded, FoldedPattern, fold_default, fold_turkish
from pytest_llmperf.mock.pieces import count_tokens, split_pieces

ROUTES = [
    {"contains": ["takvim", "toplantı"], "json": {"route": "calendar"}},
    {"contains": "iptal", "text": "iptal edildi"},
    {"regex": r"hava\s+nasıl", "text": "güneşli"},
]


def content(answer):
    return answer.json["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("İPTAL", "iptal"),
        ("ILIK", "ılık"),
        ("ılık", "ILIK"),
        ("I\N{COMBINING DOT ABOVE}PTAL", "iptal"),
        ("i\N{COMBINING DOT ABOVE}ptal", "İPTAL"),
        ("INVOICE", "invoice"),
        ("ÇÖĞÜŞ", "çöğüş"),
    ],
)
def test_case_is_folded_by_turkish_and_by_english_rules(said, written):
    assert Folded(f"bunu {said} et").contains(Folded(written))


def test_words_that_differ_by_the_dot_of_an_i_stay_apart():
    assert not Folded("sınır").contains(Folded("sinir"))


@pytest.mark.parametrize("pattern", [r"\bİPTAL\b", r"(?P<Verb>iptal)\s\S+", r"[İI]PTAL", r"İPTAL(?= et)"])
def test_regular_expressions_ignore_case_by_turkish_rules(pattern):
    assert FoldedPattern(pattern).search(Folded("lütfen iptal et"))


def test_the_foldings_differ_only_where_a_capital_i_stands():
    every = " ".join(chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000)
    assert fold_turkish(every) != fold_default(every)
    without = every.replace("I", "")
    assert fold_turkish(without) == fold_default(without)
    assert Folded("DIŞ").turkish == "dış"


def test_folding_a_pattern_leaves_its_classes_alone():
    assert FoldedPattern(r"^\D+$").search(Folded("yok"))
    assert not FoldedPattern(r"^\D+$").search(Folded("123"))


def test_rules_look_at_the_last_user_message_only(start, chat):
    server = start(replies=ROUTES)
    messages = [
        {"role": "system", "content": "takvim ve iptal hakkında"},
        {"role": "user", "content": "toplantı"},
        {"role": "assistant", "content": "takvim"},
        {"role": "user", "content": "Hava NASIL"},
    ]
    assert content(chat(server, messages=messages)) == "güneşli"


def test_the_first_matching_rule_answers(start, chat):
    assert content(chat(start(replies=ROUTES), "TOPLANTIYI İPTAL et")) == '{"route": "calendar"}'


def test_a_marker_in_the_user_message_hides_what_comes_before_it(start, chat):
    server = start(replies=ROUTES, user_marker="USER:")
    assert content(chat(server, "Takvim sorularını yönlendir.\nUSER: iptal et")) == "iptal edildi"


def test_a_prompt_of_a_text_completion_is_the_user_message(start, ask):
    server = start(replies=ROUTES, user_marker="USER:")
    answer = ask(server, "/v1/completions", {"prompt": "takvim USER: iptal", "max_tokens": 50})
    assert answer.json["choices"][0]["text"] == "iptal edildi"


def test_text_parts_of_a_message_count_as_its_text(start, chat):
    messages = [{"role": "user", "content": [{"type": "text", "text": "takvimim"}, {"type": "image_url"}]}]
    assert "calendar" in content(chat(start(replies=ROUTES), messages=messages))


def test_the_default_reply_depends_on_the_prompt_alone(mock, chat):
    first, again, other = chat(mock, "bir"), chat(mock, "bir"), chat(mock, "iki")
    assert content(first) == content(again) != content(other)


def test_the_default_reply_has_twenty_tokens(mock, chat):
    assert chat(mock).json["usage"]["completion_tokens"] == 20


def test_a_sequence_goes_on_with_every_match_and_stays_at_its_end(start, chat):
    server = start(replies=[{"contains": "dene", "sequence": ["bir", {"json": {"iki": 2}}, "üç"]}])
    assert [content(chat(server, "dene")) for _ in range(4)] == ["bir", '{"iki": 2}', "üç", "üç"]


def test_a_cycle_starts_again(start, chat):
    server = start(replies=[{"regex": "", "sequence": ["a", "b"], "cycle": True}])
    assert [content(chat(server)) for _ in range(3)] == ["a", "b", "a"]


def test_a_rule_may_be_used_up(start, chat):
    server = start(replies=[{"regex": "", "text": "ilk", "times": 1}, {"regex": "", "text": "sonra"}])
    assert [content(chat(server)) for _ in range(2)] == ["ilk", "sonra"]


@pytest.mark.parametrize(
    ("condition", "messages", "headers"),
    [
        ({"turn": 2}, [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], {}),
        ({"history": "adım Ali"}, [{"role": "user", "content": "ADIM ALİ"}, {"role": "user", "content": "kim"}], {}),  # noqa: E501
        ({"system": "yönlendirici"}, [{"role": "system", "content": "Sen YÖNLENDİRİCİSİN"}, {"role": "user", "content": "x"}], {}),  # noqa: E501
        ({"role": "router"}, [{"role": "user", "content": "x"}], {"x_llmperf_role": "router"}),
        ({"contains_all": ["bir", "iki"]}, [{"role": "user", "content": "iki bir"}], {}),
        ({"equals": "MERHABA"}, [{"role": "user", "content": " merhaba "}], {}),
        ({"model": "tiny"}, [{"role": "user", "content": "x"}], {}),
    ],
)  # fmt: skip
def test_conditions_beside_the_text(start, ask, condition, messages, headers):
    server = start(replies=[{**condition, "text": "evet"}, {"regex": "", "text": "hayır"}])

    def answer(messages, **headers):
        return content(
            ask(server, "/v1/chat/completions", {"model": "tiny", "messages": messages}, **headers)
        )

    assert answer(messages, **headers) == "evet"
    if "model" not in condition:
        assert answer([{"role": "user", "content": "başka"}]) == "hayır"


def test_a_template_is_filled_from_the_conversation(start, chat):
    server = start(replies=[{"regex": "", "template": "{turn}. {user} {unknown} {first}"}])
    messages = [{"role": "user", "content": "a{turn}"}, {"role": "user", "content": "b"}]
    assert content(chat(server, messages=messages)) == "2. b {unknown} a{turn}"


def test_a_function_of_the_test_may_answer(mock, chat):
    mock.reply(lambda said: {"echo": said["user"], "n": len(said["body"]["messages"])}, contains="yankı")
    assert json.loads(content(chat(mock, "yankı yap"))) == {"echo": "yankı yap", "n": 1}


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (lambda _: 1 / 0, "the reply function raised ZeroDivisionError: division by zero"),
        (lambda _: pytest.fail("no"), "the reply function raised Failed: no"),
        (lambda _: {"a", "b"}, "the reply function's answer.json: not a JSON value"),
        (lambda _: float("nan"), "the reply function's answer.json: not a JSON value"),
    ],
    ids=["raises", "fails", "set", "nan"],
)
def test_a_function_without_an_answer_is_an_error_of_the_server(mock, chat, says, reason):
    mock.reply(says, contains="kötü")
    mock.reply(lambda _: "iyi", contains="iyi")
    failed = chat(mock, "kötü")
    assert (failed.status, reason in failed.json["error"]["message"]) == (500, True)
    assert content(chat(mock, "iyi")) == "iyi"  # the next one is asked as if nothing had been


def test_a_client_that_does_not_wait_for_a_function_leaves_nothing_behind(mock, ask):
    asked, left = threading.Event(), threading.Event()
    mock.reply(lambda _: (asked.set(), left.wait(5), "geç")[-1], contains="yavaş", times=1)
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "yavaş"}]}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    )
    with socket.create_connection(("127.0.0.1", mock.port)) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        assert asked.wait(5)
    while not mock.requests:  # until the server has seen that the client is gone
        pass
    left.set()
    mock.reply(lambda _: "ok")
    assert content(ask(mock, "/v1/chat/completions", body)) == "ok"  # asked for after the late answer
    assert (
        'vllm:num_requests_running{engine="0",model_name="tiny"} 0.0' in ask(mock, "/metrics").body.decode()
    )


def test_functions_are_forgotten_with_their_rules(mock):
    mock.reply(lambda _: "a")
    mock.reset()
    assert not mock._functions


def test_the_newest_rule_of_the_fixture_goes_first_and_reset_takes_it_back(mock, chat):
    before = content(chat(mock))
    mock.reply("eski", contains="merhaba")
    mock.reply("yeni", contains="merhaba")
    assert content(chat(mock)) == "yeni"
    mock.reset()
    assert content(chat(mock)) == before


@pytest.mark.parametrize(
    "text", ["", "a", "bir iki", "  önde boşluk", "x" * 97, "a b c d e f g h", "son  \n"]
)
def test_pieces_are_as_many_as_the_estimate_and_join_to_the_text(text):
    assert "".join(split_pieces(text)) == text
    assert len(split_pieces(text)) == count_tokens(text) == max(len(text.split()), -(-len(text) // 4))
    assert all(split_pieces(text))


def test_only_the_pieces_of_short_texts_are_kept():
    short, long = "kısa bir cevap", "uzun " * 10_000
    assert split_pieces(short) is split_pieces(short)
    assert split_pieces(long) is not split_pieces(long)


def test_usage_counts_the_content_chunks_and_the_end(mock, chat):
    events = chat(mock, stream=True, stream_options={"include_usage": True}).events
    chunks = [event for event in events if event != "[DONE]" and event["choices"]]
    assert events[-2]["usage"]["completion_tokens"] == len(chunks) - 1  # the first one only has a role


def test_prompt_tokens_are_estimated_for_each_message(mock, chat):
    messages = [{"role": "system", "content": "x" * 41}, {"role": "user", "content": "a b c"}]
    assert chat(mock, messages=messages).json["usage"]["prompt_tokens"] == 11 + 3


def test_max_tokens_cuts_the_answer(mock, chat):
    mock.reply("bir iki üç dört beş")
    answer = chat(mock, max_tokens=3).json
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["content"] == "bir iki üç"
    assert answer["usage"]["completion_tokens"] == 3


def test_an_answer_as_long_as_max_tokens_has_no_room_for_its_end(mock, chat):
    mock.reply("bir iki üç")
    assert chat(mock, max_tokens=3).json["choices"][0]["finish_reason"] == "length"
    assert chat(mock, max_tokens=4).json["choices"][0]["finish_reason"] == "stop"


def test_max_completion_tokens_wins_over_max_tokens(mock, chat):
    assert chat(mock, max_tokens=9, max_completion_tokens=2).json["usage"]["completion_tokens"] == 2


def test_a_stop_sequence_ends_the_answer_before_it(mock, chat):
    mock.reply("bir iki üç dört")
    choice = chat(mock, stop=["üç", "yok"]).json["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"], choice["stop_reason"]) == (
        "bir iki ",
        "stop",
        "üç",
    )


def test_a_stop_sequence_ends_a_stream_too(mock, chat):
    mock.reply("bir iki üç dört")
    events = chat(mock, stop="ki", stream=True).events
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1])
    assert text == "bir i"
    assert events[-2]["choices"][0]["finish_reason"] == "stop"


def test_n_gives_answers_that_are_counted_together(mock, chat):
    answer = chat(mock, n=3, max_tokens=4).json
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["completion_tokens"] == 12


def test_an_instance_of_the_schema_is_made_when_no_rule_answers(mock, chat):
    schema = {
        "type": "object",
        "properties": {
            "route": {"enum": ["calendar", "smalltalk"]},
            "when": {"type": "string", "format": "date-time"},
            "code": {"type": "string", "pattern": "^[A-Z]{3}-\\d{4}$"},
            "people": {"type": "array", "items": {"$ref": "#/$defs/person"}, "minItems": 2},
            "score": {"type": "number", "minimum": 0.5, "maximum": 0.75},
            "note": {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 5}]},
        },
        "required": ["route", "when", "code", "people", "score", "note"],
        "additionalProperties": False,
        "$defs": {"person": {"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}, "required": ["age"]}},  # noqa: E501
    }  # fmt: skip
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    for number in range(10):
        jsonschema.validate(json.loads(content(chat(mock, f"soru {number}", response_format=form))), schema)


def test_a_recursive_schema_comes_to_an_end(mock, chat):
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["next"]}  # fmt: skip  # noqa: E501
    schema = {"$ref": "#/$defs/node", "$defs": {"node": node}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    jsonschema.validate(json.loads(content(chat(mock, response_format=form))), schema)


def test_json_object_gives_an_object(mock, chat):
    assert isinstance(json.loads(content(chat(mock, response_format={"type": "json_object"}))), dict)


def test_a_required_tool_is_called_with_valid_arguments(mock, chat):
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}]
    choice = chat(mock, tools=tools, tool_choice="required").json["choices"][0]
    function = choice["message"]["tool_calls"][0]["function"]
    assert (choice["finish_reason"], function["name"]) == ("tool_calls", "get_weather")
    jsonschema.validate(json.loads(function["arguments"]), parameters)


def test_a_named_tool_finishes_with_stop_as_in_vllm(mock, chat):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    choice = chat(mock, tools=tools, tool_choice={"type": "function", "function": {"name": "f"}}).json[
        "choices"
    ][0]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "f"


def test_tool_calls_are_streamed_as_fragments_of_one_index(mock, chat):
    mock.reply(tool_calls=[{"name": "f", "arguments": {"şehir": "İstanbul"}}, {"name": "g"}])
    deltas = [event["choices"][0]["delta"] for event in chat(mock, stream=True).events[:-1]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    arguments = "".join(call["function"].get("arguments", "") for call in calls if call["index"] == 0)
    assert json.loads(arguments) == {"şehir": "İstanbul"}
    assert [call["function"]["name"] for call in calls if "name" in call["function"]] == ["f", "g"]


def test_reasoning_comes_before_the_answer_in_its_own_field(mock, chat):
    mock.reply("evet", reasoning="bir düşüneyim")
    assert chat(mock).json["choices"][0]["message"]["reasoning"] == "bir düşüneyim"
    deltas = [event["choices"][0]["delta"] for event in chat(mock, stream=True).events[:-1]]
    assert "".join(delta.get("reasoning", "") for delta in deltas) == "bir düşüneyim"


def test_a_megabyte_of_prompt_is_answered(start, chat):
    answer = chat(start(max_model_len=1_000_000), "ş " * 500_000)
    assert (answer.status, answer.json["usage"]["prompt_tokens"]) == (200, 500_000)


def test_a_reused_answer_has_an_id_of_its_own_and_follows_new_rules(mock, chat):
    first, second = chat(mock), chat(mock)
    assert first.json["id"] != second.json["id"]
    assert content(first) == content(second)
    streams = [chat(mock, stream=True).events for _ in range(2)]
    ids = [{event["id"] for event in events[:-1]} for events in streams]
    assert len(ids[0]) == len(ids[1]) == 1
    assert ids[0] != ids[1]
    assert len(streams[0]) == len(streams[1])
    mock.reply("yeni")
    assert content(chat(mock)) == "yeni"
    assert len(mock.requests) == 5


def test_unicode_survives_the_stream(mock, chat):
    text = 'ağaç 🌳 \u2028 \u0085 tırnak " ters \\ bitti'
    mock.reply(text)
    events = chat(mock, stream=True).events[:-1]
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == text


def test_any_model_is_answered_when_none_is_configured(start, ask):
    body = {"model": "gpt-x", "messages": [{"role": "user", "content": "a"}]}
    assert ask(start(), "/v1/chat/completions", body).json["model"] == "gpt-x"


def test_tokenize_counts_as_usage_does(mock, ask, chat):
    messages = [{"role": "user", "content": "kaç token eder bu cümle"}]
    count = ask(mock, "/tokenize", {"model": "tiny", "messages": messages}).json["count"]
    assert count == chat(mock, messages=messages).json["usage"]["prompt_tokens"]


def test_embeddings_are_unit_vectors_that_depend_on_the_text(mock, ask):
    data = ask(mock, "/v1/embeddings", {"model": "tiny", "input": ["a", "b", "a"], "dimensions": 8}).json[
        "data"
    ]
    vectors = [entry["embedding"] for entry in data]
    assert vectors[0] == vectors[2] != vectors[1]
    assert sum(x * x for x in vectors[0]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"latencyy": {}}, "slo.yaml mock.latencyy is not a key of the mock. Did you mean 'latency'?"),
        (
            {"latency": {"ttft": "lognorm(55ms, 0.1)"}},
            "slo.yaml mock.latency.ttft: 'lognorm' is not a distribution",
        ),
        ({"latency": {"ttft": "55"}}, "mock.latency.ttft: '55' is not a distribution"),
        ({"latency": {"itl": "normal(5ms)"}}, "needs 2 argument(s), has 1"),
        ({"latency": {"ttft": "empirical(/no/such.csv)"}}, "mock.latency.ttft: cannot read /no/such.csv"),
        ({"replies": [{"contains": "a"}]}, "mock.replies[0]: expected one of text, json"),
        ({"replies": [{"regex": "(", "text": ""}]}, "mock.replies[0].regex: "),
        ({"replies": [{"contain": "a", "text": "b"}]}, "Did you mean 'contains'?"),
        ({"faults": [{"kind": "explode"}]}, "mock.faults[0].kind: expected one of"),
        ({"faults": [{"kind": "cut", "rate": 1.5}]}, "mock.faults[0].rate: expected a number from 0 to 1"),
        ({"dialect": "gemini"}, "mock.dialect: expected one of vllm"),
        ({"capacity": {"running": 0}}, "mock.capacity.running: expected a whole number from 1"),
        ({"seed": True}, "mock.seed: expected a whole number"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_path(section, text):
    with pytest.raises(LlmPerfUsageError) as raised:
        parse_config(section)
    assert text in str(raised.value)
