"""Servers' own interfaces beside OpenAI's: SGLang's /generate, TGI's, llama.cpp's, Ollama's for models."""

from __future__ import annotations

import http.client
import json

import ollama
import pytest

SAID = [{"regex": "", "text": "bir iki üç"}]


def lines(answer):
    return [json.loads(line) for line in answer.body.decode().splitlines()]


def test_sglangs_whole_answer_says_how_it_ended(start, ask):
    server = start(dialect="sglang", replies=SAID)
    answer = ask(server, "/generate", {"text": "merhaba", "sampling_params": {"max_new_tokens": 8}}).json
    assert answer["text"] == "bir iki üç"
    meta = answer["meta_info"]
    assert meta["finish_reason"] == {"type": "stop", "matched": 151645}
    assert (meta["prompt_tokens"], meta["completion_tokens"], len(answer["output_ids"])) == (2, 4, 4)
    cut = ask(server, "/generate", {"text": "merhaba", "sampling_params": {"max_new_tokens": 2}}).json
    assert (cut["text"], cut["meta_info"]["finish_reason"]) == ("bir iki", {"type": "length", "length": 2})


def test_sglangs_stream_repeats_what_it_has_said(start, ask):
    server = start(dialect="sglang", replies=SAID)
    *events, done = ask(server, "/generate", {"text": "merhaba", "stream": True}).events
    assert done == "[DONE]"
    assert [event["text"] for event in events] == ["bir", "bir iki", "bir iki üç", "bir iki üç"]
    assert [event["meta_info"]["completion_tokens"] for event in events] == [1, 2, 3, 4]
    assert [event["meta_info"]["finish_reason"] is None for event in events] == [True, True, True, False]


def test_sglang_wants_a_prompt(start, ask):
    answer = ask(start(dialect="sglang"), "/generate", {})
    assert (answer.status, "Either text" in answer.json["message"]) == (400, True)


def test_sglang_answers_with_an_instance_of_a_schema_that_is_a_text(start, ask):
    schema = json.dumps({"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]})
    body = {"text": "x", "sampling_params": {"json_schema": schema}}
    assert json.loads(ask(start(dialect="sglang"), "/generate", body).json["text"]) == {"a": 1}
    body["sampling_params"]["json_schema"] = "{"
    assert ask(start(dialect="sglang"), "/generate", body).status == 400


def test_tgis_whole_answer_and_its_details(start, ask):
    server = start(dialect="tgi", replies=SAID)
    body = {"inputs": "merhaba", "parameters": {"max_new_tokens": 8}}
    assert ask(server, "/generate", body).json == {"generated_text": "bir iki üç"}
    body["parameters"] |= {"details": True, "return_full_text": True}
    answer = ask(server, "/generate", body).json
    assert answer["generated_text"] == "merhababir iki üç"
    details = answer["details"]
    assert (details["finish_reason"], details["generated_tokens"]) == ("eos_token", 4)
    assert [token["text"] for token in details["tokens"]] == ["bir", " iki", " üç", "</s>"]


def test_tgis_stream_has_the_whole_text_on_its_last_token_and_no_done(start, ask):
    server = start(dialect="tgi", replies=SAID)
    body = {"inputs": "merhaba", "parameters": {"max_new_tokens": 2}}
    events = ask(server, "/generate_stream", body).events
    assert [event["token"]["text"] for event in events] == ["bir", " iki"]
    assert [event["generated_text"] for event in events] == [None, "bir iki"]
    assert events[-1]["details"] == {
        "finish_reason": "length",
        "generated_tokens": 2,
        "seed": None,
        "input_length": 2,
    }


def test_a_connection_goes_on_after_a_stream_of_tgi(start):
    connection = http.client.HTTPConnection("127.0.0.1", start(dialect="tgi", replies=SAID).port, timeout=30)
    for _ in range(2):
        connection.request("POST", "/generate_stream", b'{"inputs": "a"}')
        assert connection.getresponse().read().endswith(b"\n\n")
    connection.close()


def test_tgis_root_streams_only_if_it_is_told_to(start, ask):
    server = start(dialect="tgi", replies=SAID)
    assert ask(server, "/", {"inputs": "a"}).json == [{"generated_text": "bir iki üç"}]
    assert ask(server, "/", {"inputs": "a", "stream": True}).events[-1]["generated_text"] == "bir iki üç"


@pytest.mark.parametrize(
    "body", [{}, {"inputs": ""}, {"inputs": "a", "parameters": {"max_new_tokens": 0}}, []], ids=str
)
def test_tgi_refuses_with_422(start, ask, body):
    answer = ask(start(dialect="tgi"), "/generate", body)
    assert (answer.status, answer.json["error_type"]) == (422, "validation")


def test_llamacpps_completion_streams_as_it_was_recorded_to(start, ask):
    server = start(dialect="llamacpp", replies=SAID)
    *events, last = ask(server, "/completion", {"prompt": "a", "stream": True}).events
    assert [event["content"] for event in events] == ["bir", " iki", " üç"]
    assert (last["stop"], last["stop_type"], last["tokens_predicted"]) == (True, "eos", 4)
    stopped = ask(server, "/completion", {"prompt": "a", "stop": ["iki"]}).json
    assert (stopped["content"], stopped["stop_type"], stopped["stopping_word"]) == ("bir ", "word", "iki")


def test_faults_are_played_on_a_native_path_too(start, ask):
    server = start(dialect="tgi", faults=[{"kind": "status", "status": 503}])
    assert ask(server, "/generate", {"inputs": "a"}).status == 503


@pytest.fixture
def client(start):
    server = start(dialect="ollama", models=["qwen2.5:3b"])
    client = ollama.Client(host=f"http://127.0.0.1:{server.port}")
    yield client
    client._client.close()


def names(client):
    return [model.model for model in client.list().models]


def test_ollama_pulls_what_is_there(client):
    assert client.pull("qwen2.5:3b").status == "success"
    told = [step.status for step in client.pull("qwen2.5:3b", stream=True)]
    assert told[0] == "pulling manifest"
    assert told[-3:] == ["verifying sha256 digest", "writing manifest", "success"]


def test_ollama_cannot_pull_what_is_nowhere(start, client, ask):
    with pytest.raises(ollama.ResponseError, match="file does not exist"):
        client.pull("nothing")
    answer = ask(start(dialect="ollama", models=["qwen2.5:3b"]), "/api/pull", {"model": "nothing"})
    assert (answer.status, list(lines(answer)[-1])) == (200, ["error"])


def test_ollama_creates_copies_and_deletes(client):
    assert client.create("mine", from_="qwen2.5:3b", system="kısa").status == "success"
    assert client.copy("mine", "yours").status == "success"
    assert names(client) == ["qwen2.5:3b", "mine:latest", "yours:latest"]
    assert client.generate("yours", "merhaba").response
    client.delete("mine")
    assert names(client) == ["qwen2.5:3b", "yours:latest"]
    with pytest.raises(ollama.ResponseError, match="not found"):
        client.generate("mine", "merhaba")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("DELETE", "/api/delete", {"model": "nothing"}, 404),
        ("DELETE", "/api/delete", {}, 400),
        ("POST", "/api/copy", {"source": "nothing", "destination": "a"}, 404),
        ("POST", "/api/copy", {"source": "a"}, 400),
        ("POST", "/api/create", {"model": "a"}, 400),
        ("POST", "/api/create", {"model": "a", "from": "nothing", "stream": False}, 500),
        ("POST", "/api/pull", [], 400),
    ],
)
def test_ollama_refuses_what_cannot_be(start, ask, method, path, body, status):
    server = start(dialect="ollama", models=["qwen2.5:3b"])
    answer = ask(server, path, body, method=method)
    assert (answer.status, list(answer.json)) == (status, ["error"])


def test_ollama_embeds_with_counts(client):
    answer = client.embed("qwen2.5:3b", ["merhaba dünya", "a"])
    assert (len(answer.embeddings), answer.prompt_eval_count) == (2, 5)
    assert answer.total_duration > answer.load_duration > 0


def test_what_was_created_is_gone_after_a_reset(start, ask):
    server = start(dialect="ollama", models=["qwen2.5:3b"])
    ask(server, "/api/copy", {"source": "qwen2.5:3b", "destination": "mine"})
    server.reset()
    assert [one["name"] for one in lines(ask(server, "/api/tags"))[0]["models"]] == ["qwen2.5:3b"]
