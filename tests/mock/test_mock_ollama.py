from __future__ import annotations

import json

import pytest


def lines(answer):
    return [json.loads(line) for line in answer.body.decode().splitlines()]


@pytest.fixture
def ollama(start):
    return start(dialect="ollama", models=["llama3.2", "tiny:latest"], latency={"ttft": "3ms", "itl": "1ms"})


def say(ask, server, text="merhaba", **params):
    body = {"model": "llama3.2", "messages": [{"role": "user", "content": text}], **params}
    return ask(server, "/api/chat", body)


def test_it_greets_as_ollama_does(ollama, ask):
    assert ask(ollama, "/").body == b"Ollama is running"
    assert ask(ollama, "/", method="HEAD").body == b""


def test_a_chat_is_streamed_as_lines_unless_told_otherwise(ollama, ask):
    ollama.reply("bir iki üç")
    answer = say(ask, ollama)
    assert answer.headers["content-type"] == "application/x-ndjson"
    *parts, last = lines(answer)
    assert [part["message"]["content"] for part in parts] == ["bir", " iki", " üç"]
    assert all(part["done"] is False for part in parts)
    assert (last["done"], last["done_reason"], last["message"]["content"]) == (True, "stop", "")


def test_statistics_are_in_nanoseconds_and_add_up(ollama, ask):
    ollama.reply("bir iki üç")
    last = lines(say(ask, ollama))[-1]
    assert (last["prompt_eval_count"], last["eval_count"]) == (2, 4)
    assert (last["prompt_eval_duration"], last["eval_duration"]) == (3_000_000, 3_000_000)
    assert last["total_duration"] == 6_000_000
    assert "load_duration" not in last  # Go leaves a zero out


def test_a_cold_start_is_told_as_load_duration(start, ask):
    server = start(dialect="ollama", latency={"ttft": "2ms", "itl": "0", "cold_start": "10ms"})
    first, second = (lines(say(ask, server))[-1] for _ in range(2))
    assert (first["load_duration"], first["prompt_eval_duration"]) == (10_000_000, 2_000_000)
    assert "load_duration" not in second


@pytest.mark.parametrize("at_once", [0, "0", "0s"], ids=["number", "text", "duration"])
def test_an_unloaded_model_starts_cold_again(start, ask, at_once):
    server = start(dialect="ollama", latency={"ttft": "2ms", "itl": "0", "cold_start": "10ms"})
    say(ask, server)
    unloaded = ask(server, "/api/generate", {"model": "llama3.2", "keep_alive": at_once})
    assert unloaded.json["done_reason"] == "unload"
    assert lines(say(ask, server))[-1]["load_duration"] == 10_000_000
    ask(server, "/api/generate", {"model": "llama3.2", "keep_alive": "5m"})
    assert "load_duration" not in lines(say(ask, server))[-1]


def test_without_a_stream_there_is_one_object(ollama, ask):
    ollama.reply("evet")
    answer = say(ask, ollama, stream=False)
    assert answer.json["message"] == {"role": "assistant", "content": "evet"}
    assert answer.json["done"] is True
    assert answer.json["eval_count"] == 2


def test_generate_takes_a_prompt(ollama, ask):
    ollama.reply("evet efendim", contains="soru")
    body = {"model": "llama3.2", "prompt": "bir SORU", "system": "x"}
    *parts, last = lines(ask(ollama, "/api/generate", body))
    assert "".join(part["response"] for part in parts) == "evet efendim"
    assert last["done"] is True
    assert ask(ollama, "/api/generate", {**body, "stream": False}).json["response"] == "evet efendim"


def test_num_predict_and_stop_are_obeyed(ollama, ask):
    ollama.reply("bir iki üç dört")
    cut = say(ask, ollama, stream=False, options={"num_predict": 2}).json
    assert (cut["message"]["content"], cut["done_reason"], cut["eval_count"]) == ("bir iki", "length", 2)
    stopped = say(ask, ollama, stream=False, options={"stop": [" üç"]}).json
    assert (stopped["message"]["content"], stopped["done_reason"]) == ("bir iki", "stop")


def test_a_format_gives_an_instance(ollama, ask):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    assert "ok" in json.loads(say(ask, ollama, stream=False, format=schema).json["message"]["content"])
    assert isinstance(
        json.loads(say(ask, ollama, stream=False, format="json").json["message"]["content"]), dict
    )


def test_a_tool_call_comes_whole_in_one_line(ollama, ask):
    ollama.reply(tool_calls=[{"name": "f", "arguments": {"a": 1}}])
    calls = [
        line["message"]["tool_calls"] for line in lines(say(ask, ollama)) if "tool_calls" in line["message"]
    ]
    assert calls == [[{"function": {"name": "f", "arguments": {"a": 1}}}]]


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]"])
def test_a_call_whose_arguments_are_no_object_stays_text(ollama, ask, arguments):
    ollama.reply(tool_calls=[{"name": "f", "arguments": arguments}])
    message = say(ask, ollama, stream=False).json["message"]
    assert message == {"role": "assistant", "content": arguments}


def test_thinking_has_its_own_field(ollama, ask):
    ollama.reply("evet", reasoning="hmm")
    assert say(ask, ollama, stream=False).json["message"]["thinking"] == "hmm"


def test_errors_are_one_text(ollama, ask):
    missing = say(ask, ollama, model="x")
    assert (missing.status, missing.json) == (404, {"error": "model 'x' not found"})
    assert ask(ollama, "/api/chat", {}).json == {"error": "model is required"}
    assert ask(ollama, "/api/chat", b"{").status == 400
    assert ask(ollama, "/api/nothing", {}).status == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "missing request body"),
        (b'{"model": "ti', "unexpected EOF"),
        (b'{"model":', "unexpected EOF"),
        (b"{x}", "invalid character 'x' looking for beginning of object key string"),
        (b'{"model" 1}', "invalid character '1' after object key"),
        (b"{\"model\": 'a'}", "invalid character '\\'' looking for beginning of value"),
        (b'{"model": "a" "b"}', "invalid character '\"' after object key:value pair"),
        (b"[]", "json: cannot unmarshal array into Go value of type api.GenerateRequest"),
        (
            b'{"model": "tiny", "stream": "no"}',
            "json: cannot unmarshal string into Go struct field GenerateRequest.stream of type bool",
        ),
        (
            b'{"model": "tiny", "prompt": "a", "format": "xml"}',
            'invalid format: "\\"xml\\""; expected "json" or a valid JSON Schema object',
        ),
    ],
)
def test_a_bad_request_is_refused_in_the_words_of_go(ollama, ask, body, words):
    answer = ask(ollama, "/api/generate", body)
    assert answer.json == {"error": words}
    assert answer.status == (500 if "format" in words else 400)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(("body", "words"), [(b"", "EOF"), (b"{", "unexpected EOF")])
def test_the_openai_interface_of_ollama_reads_with_go_too(ollama, ask, body, words):
    assert ask(ollama, "/v1/chat/completions", body).json["error"]["message"] == words


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("chat/completions", {"messages": [{"role": "user", "content": "a"}]}, 400, "model is required"),
        ("chat/completions", {"model": "tiny"}, 400, "[] is too short - 'messages'"),
        ("chat/completions", {"model": "tiny", "messages": []}, 400, "[] is too short - 'messages'"),
        ("completions", {"prompt": "a"}, 404, "model '' not found"),
        ("embeddings", {"model": "tiny", "input": ""}, 400, "invalid input"),
    ],
)
def test_the_openai_interface_of_ollama_misses_what_is_not_there(ollama, ask, path, body, status, words):
    answer = ask(ollama, f"/v1/{path}", body)
    assert (answer.status, answer.json["error"]["message"]) == (status, words)


@pytest.mark.parametrize(
    ("path", "missing", "unknown"),
    [
        ("chat", (400, "model is required"), "model 'x' not found"),
        ("show", (400, "model is required"), "model 'x' not found"),
        ("generate", (404, "model '' not found"), "model 'x' not found"),
        ("embed", (404, "model '' not found"), 'model "x" not found, try pulling it first'),
        ("embeddings", (400, "model is required"), 'model "x" not found, try pulling it first'),
    ],
)
def test_a_model_that_is_not_here_is_missed_in_the_words_of_the_path(ollama, ask, path, missing, unknown):
    none, other = ask(ollama, f"/api/{path}", {}), ask(ollama, f"/api/{path}", {"model": "x"})
    assert (none.status, none.json["error"]) == missing
    assert (other.status, other.json["error"]) == (404, unknown)


@pytest.mark.parametrize(("path", "body"), [("/nothing", None), ("/api/chat", None), ("/api/tags", {})])
def test_what_is_no_route_is_answered_in_plain_text(ollama, ask, path, body):
    answer = ask(ollama, path, body)
    assert answer.headers["content-type"] == "text/plain"
    assert answer.body in (b"404 page not found", b"405 method not allowed")


def test_a_stream_that_is_null_is_a_stream(ollama, ask):
    for path, more in (
        ("chat", {"messages": [{"role": "user", "content": "a"}]}),
        ("generate", {"prompt": "a"}),
    ):
        answer = ask(ollama, f"/api/{path}", {"model": "tiny", "stream": None, **more})
        assert answer.headers["content-type"] == "application/x-ndjson"


@pytest.mark.parametrize("stream", [False, True])
def test_generate_tells_its_thinking_apart(ollama, ask, stream):
    ollama.reply(text="ya", reasoning="ni ye")
    answer = ask(ollama, "/api/generate", {"model": "tiny", "prompt": "a", "stream": stream})
    told = [json.loads(line) for line in answer.body.splitlines()]
    assert "".join(one.get("thinking", "") for one in told) == "ni ye"
    assert "".join(one["response"] for one in told) == "ya"


@pytest.mark.parametrize("nothing", ["", [], None])
def test_nothing_is_embedded_where_nothing_is_given(ollama, ask, nothing):
    asked = {"model": "tiny", "input": nothing}
    assert ask(ollama, "/api/embed", asked).json == {"model": "tiny", "embeddings": []}


def test_what_is_no_text_cannot_be_embedded(ollama, ask):
    for given in (5, [5], {"a": 1}):
        answer = ask(ollama, "/api/embed", {"model": "tiny", "input": given})
        assert (answer.status, answer.json) == (400, {"error": "invalid input type"})
    assert ask(ollama, "/api/embeddings", {"model": "tiny", "prompt": ""}).json == {"embedding": []}


def test_a_model_is_found_without_its_tag(ollama, ask):
    assert say(ask, ollama, model="tiny").status == 200


def test_models_are_listed_in_every_way(ollama, ask):
    names = ["llama3.2", "tiny:latest"]
    assert [one["name"] for one in ask(ollama, "/api/tags").json["models"]] == names
    assert [one["name"] for one in ask(ollama, "/api/ps").json["models"]] == names
    assert [one["id"] for one in ask(ollama, "/v1/models").json["data"]] == names
    assert "capabilities" in ask(ollama, "/api/show", {"model": "tiny"}).json
    assert "version" in ask(ollama, "/api/version").json


def test_a_request_without_a_question_loads_the_model(ollama, ask):
    assert ask(ollama, "/api/chat", {"model": "tiny", "messages": []}).json["done_reason"] == "load"
    assert ask(ollama, "/api/generate", {"model": "tiny"}).json["done_reason"] == "load"


@pytest.mark.parametrize("odd", [{"keep_alive": ["0"]}, {"options": {"stop": 5}}, {"options": {"stop": [5]}}])
def test_a_value_that_makes_no_sense_is_passed_over(ollama, ask, odd):
    assert ask(ollama, "/api/generate", {"model": "tiny", "prompt": "a", **odd}).status == 200
    assert ask(ollama, "/api/generate", {"model": "tiny", **odd}).json["done_reason"] == "load"


def test_texts_are_embedded(ollama, ask):
    assert len(ask(ollama, "/api/embed", {"model": "tiny", "input": ["a", "b"]}).json["embeddings"]) == 2
    assert ask(ollama, "/api/embeddings", {"model": "tiny", "prompt": "a"}).json["embedding"]


def test_the_openai_interface_of_ollama_ends_with_an_empty_delta(ollama, ask):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "stream": True}
    events = ask(ollama, "/v1/chat/completions", body).events
    assert events[-2]["choices"][0]["delta"] == {}
    assert events[-1] == "[DONE]"
    assert not any("usage" in event for event in events[:-1])
    events = ask(ollama, "/v1/chat/completions", {**body, "stream_options": {"include_usage": True}}).events
    assert set(events[-2]["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
