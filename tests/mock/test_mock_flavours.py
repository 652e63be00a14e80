from __future__ import annotations

import pytest

BODY = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
STREAM = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
ALL = ["vllm", "openai", "ollama", "llamacpp", "sglang", "tgi"]
PATH = "/v1/chat/completions"


@pytest.mark.parametrize("dialect", ALL)
def test_every_dialect_says_the_same_in_a_stream_and_at_once(start, ask, dialect):
    server = start(dialect=dialect, replies=[{"regex": "", "text": "bir iki üç ağaç"}])
    whole = ask(server, PATH, BODY).json
    events = ask(server, PATH, STREAM).events
    text = "".join(
        event["choices"][0]["delta"].get("content") or "" for event in events[:-1] if event["choices"]
    )
    assert text == whole["choices"][0]["message"]["content"] == "bir iki üç ağaç"
    assert events[-2]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"] == 5
    finish = [event["choices"][0].get("finish_reason") for event in events[:-1] if event["choices"]]
    assert [reason for reason in finish if reason] == ["stop"]
    assert events[-1] == "[DONE]"


@pytest.mark.parametrize("dialect", ["openai", "ollama", "sglang"])
def test_one_model_is_told_by_its_name(start, ask, dialect):
    server = start(dialect=dialect, models=["Qwen/Qwen2.5-3B"])
    listed = ask(server, "/v1/models").json["data"][0]
    for path in ("/v1/models/Qwen/Qwen2.5-3B", "/v1/models/Qwen%2FQwen2.5-3B"):
        assert ask(server, path).json == {**listed, "created": ask(server, path).json["created"]}
    assert ask(server, "/v1/models/other").status == (200 if dialect == "sglang" else 404)


def test_vllm_has_no_page_for_one_model(start, ask):
    assert ask(start(), "/v1/models/mock").status == 404


@pytest.mark.parametrize("dialect", ALL)
def test_every_dialect_has_an_error_that_tells_why(start, ask, dialect):
    answer = ask(start(dialect=dialect), PATH, {"model": "m"})
    assert answer.status in (400, 422)
    assert "messages" in answer.body.decode()


@pytest.mark.parametrize(
    ("dialect", "role"),
    [
        ("vllm", {"role": "assistant", "content": ""}),
        ("openai", {"role": "assistant", "content": "", "refusal": None}),
        ("llamacpp", {"role": "assistant", "content": None}),
        ("sglang", {"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": None}),
        ("ollama", {"role": "assistant", "content": ""}),
    ],
)
def test_the_first_chunk_has_only_a_role(start, ask, dialect, role):
    assert ask(start(dialect=dialect), PATH, STREAM).events[0]["choices"][0]["delta"] == role


def test_tgi_has_no_chunk_before_the_first_token(start, ask):
    server = start(dialect="tgi", replies=[{"regex": "", "text": "evet"}])
    assert ask(server, PATH, STREAM).events[0]["choices"][0]["delta"] == {
        "role": "assistant",
        "content": "evet",
    }


@pytest.mark.parametrize(
    ("dialect", "key"),
    [
        ("vllm", "reasoning"),
        ("ollama", "reasoning"),
        ("sglang", "reasoning_content"),
        ("llamacpp", "reasoning_content"),
    ],
)
def test_reasoning_has_the_name_that_the_server_gives_it(start, ask, dialect, key):
    server = start(dialect=dialect, replies=[{"regex": "", "text": "evet", "reasoning": "hmm"}])
    assert ask(server, PATH, BODY).json["choices"][0]["message"][key] == "hmm"
    deltas = [
        event["choices"][0]["delta"] for event in ask(server, PATH, STREAM).events[:-1] if event["choices"]
    ]
    assert "".join(delta.get(key) or "" for delta in deltas) == "hmm"


def test_sglangs_error_is_not_wrapped(start, ask):
    assert ask(start(dialect="sglang"), PATH, b"{").json["object"] == "error"


def test_tgi_answers_422(start, ask):
    answer = ask(start(dialect="tgi"), PATH, {**BODY, "temperature": -1})
    assert (answer.status, answer.json["error_type"]) == (422, "validation")


def test_openai_names_the_missing_model(start, ask):
    answer = ask(start(dialect="openai", models=["gpt-4o"]), PATH, BODY)
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")


def test_llamacpp_closes_after_a_stream_though_it_promises_to_stay(start):
    import http.client

    server = start(dialect="llamacpp")
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    import json

    connection.request("POST", PATH, json.dumps(STREAM))
    response = connection.getresponse()
    assert response.getheader("keep-alive") == "timeout=5, max=100"
    response.read()
    connection.sock.settimeout(5)
    assert connection.sock.recv(1) == b""
    connection.close()


def test_llamacpp_closes_after_a_hundred_plain_answers(start):
    import http.client

    server = start(dialect="llamacpp")
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for number in range(100):
        connection.request("GET", "/health")
        response = connection.getresponse()
        response.read()
        assert response.will_close is (number == 99)
    connection.close()


def test_llamacpps_timings_are_those_of_the_answer(start, ask):
    server = start(
        dialect="llamacpp", latency={"ttft": "4ms", "itl": "2ms"}, replies=[{"regex": "", "text": "a b c"}]
    )
    timings = ask(server, PATH, BODY).json["timings"]
    assert (timings["prompt_ms"], timings["predicted_ms"], timings["predicted_n"]) == (4.0, 6.0, 4)


def _of(**more):
    return {"model": "m", "messages": [{"role": "user", "content": "a"}], **more}


@pytest.mark.parametrize(
    ("body", "param", "code", "words"),
    [
        ({"messages": [{"role": "user", "content": "a"}]}, None, None, "you must provide a model parameter"),
        (
            _of(stream_options={"include_usage": True}),
            "stream_options",
            None,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        ),
        (
            _of(stop=["a", "b", "c", "d", "e"]),
            "stop",
            "array_above_max_length",
            (
                "Invalid 'stop': array too long. Expected an array with maximum length 4, "
                "but got an array with length 5 instead."
            ),
        ),
        (
            _of(temperature=2.5),
            "temperature",
            "decimal_above_max_value",
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.5 instead.",
        ),
        (
            _of(max_tokens=0),
            "max_tokens",
            "integer_below_min_value",
            "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but got 0 instead.",
        ),
        (
            _of(messages=[{"role": "user", "content": "a"}, {"role": "exit", "content": "a"}]),
            "messages[1].role",
            "invalid_value",
            (
                "Invalid value: 'exit'. Supported values are: 'system', 'assistant', 'user', 'function', "
                "'tool', and 'developer'."
            ),
        ),
        (
            _of(messages=[{"content": "a"}]),
            "messages[0].role",
            "missing_required_parameter",
            "Missing required parameter: 'messages[0].role'.",
        ),
        (_of(messages="a"), "messages", "invalid_type", "Invalid type for 'messages'."),
    ],
)
def test_openai_refuses_what_it_does_not_take_in_its_own_words(start, ask, body, param, code, words):
    answer = ask(start(dialect="openai"), PATH, body)
    assert answer.status == 400
    assert answer.json["error"] == {
        "message": words,
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }


def test_openai_takes_what_is_at_the_edge(start, ask):
    edge = {"temperature": 2, "top_p": 0, "frequency_penalty": -2, "n": 1, "stop": ["a", "b", "c", "d"]}
    assert ask(start(dialect="openai"), PATH, _of(**edge, max_tokens=1)).status == 200


@pytest.mark.parametrize("given", ["", ["a", ""]])
def test_openai_embeds_no_empty_text(start, ask, given):
    answer = ask(start(dialect="openai"), "/v1/embeddings", {"model": "m", "input": given})
    assert answer.status == 400
    assert answer.json["error"]["message"].startswith("'$.input' is invalid.")


def test_openai_pads_the_chunks_of_a_stream(start, ask):
    server = start(dialect="openai", replies=[{"regex": "", "text": "bir iki üç ağaç"}])
    *chunks, done = ask(server, PATH, STREAM).events
    assert done == "[DONE]"
    assert {type(chunk["obfuscation"]) for chunk in chunks} == {str}
    assert list(chunks[0])[-1] == "obfuscation"
    assert len({len(chunk["obfuscation"]) for chunk in chunks}) > 1


def test_openai_leaves_the_padding_out_when_it_is_asked_to(start, ask):
    wanted = {**STREAM, "stream_options": {"include_usage": True, "include_obfuscation": False}}
    events = ask(start(dialect="openai"), PATH, wanted).events
    assert [event for event in events if "obfuscation" in event] == []


def test_only_openai_pads(start, ask):
    assert b"obfuscation" not in ask(start(dialect="vllm"), PATH, STREAM).body
