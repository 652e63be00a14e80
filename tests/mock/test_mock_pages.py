"""What servers tell about themselves: the paths that clients and load tools look at first."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

RECORDED = Path(__file__).resolve().parents[1] / "data" / "wire" / "llama-server"
BODY = {"model": "m", "messages": [{"role": "user", "content": "x" * 40}], "max_tokens": 5}


def recorded(name):
    head, _, body = (RECORDED / f"{name}.resp").read_bytes().partition(b"\r\n\r\n")
    return head.decode(), body


def keys(value):
    """The structure of *value*: names in their order, and the types of what they hold."""
    if isinstance(value, dict):
        return {name: keys(one) for name, one in value.items()}
    if isinstance(value, list):
        return [keys(value[0])] if value else []
    return type(value).__name__


def test_llamacpps_props_have_the_recorded_fields_in_the_recorded_order(start, ask):
    answer = ask(start(dialect="llamacpp"), "/props")
    theirs = json.loads(recorded("props")[1])
    assert json.dumps(keys(answer.json)) == json.dumps(keys(theirs))
    assert (
        answer.json["default_generation_settings"]["params"]
        == theirs["default_generation_settings"]["params"]
    )
    assert answer.json["chat_template"] == theirs["chat_template"]
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


def test_llamacpps_idle_slots_have_the_recorded_fields(start, ask):
    slots = ask(start(dialect="llamacpp"), "/slots").json
    theirs = json.loads(recorded("slots")[1])
    assert len(slots) == len(theirs) == 8
    assert json.dumps(keys(slots[1])) == json.dumps(keys(theirs[1]))


def test_llamacpps_slots_are_the_places_of_the_engine(start, ask):
    assert len(ask(start(dialect="llamacpp", capacity={"running": 3}), "/slots").json) == 3


def test_llamacpps_metrics_are_the_recorded_ones(start, ask):
    answer = ask(start(dialect="llamacpp"), "/metrics")
    head, body = recorded("metrics")
    described = re.compile(r"^# .*$", re.MULTILINE)
    assert described.findall(answer.body.decode()) == described.findall(body.decode().replace("\r", ""))
    assert answer.headers["content-type"] == re.search(r"Content-Type: (.*)\r", head)[1]
    assert "process-start-time-unix" in answer.headers


def test_llamacpps_metrics_count_what_was_answered(start, ask):
    server = start(dialect="llamacpp", latency={"ttft": "10ms", "itl": "5ms"})
    for _ in range(2):
        ask(server, "/v1/chat/completions", BODY)
    page = dict(re.findall(r"^llamacpp:(\w+) (\S+)$", ask(server, "/metrics").body.decode(), re.MULTILINE))
    assert (page["prompt_tokens_total"], page["tokens_predicted_total"], page["n_tokens_max"]) == (
        "20",
        "10",
        "15",
    )
    assert float(page["tokens_predicted_seconds_total"]) == pytest.approx(2 * 4 * 0.005)
    assert float(page["predicted_tokens_seconds"]) == pytest.approx(10 / 0.040)


@pytest.mark.parametrize(
    ("dialect", "counted", "running"),
    [
        ("vllm", "vllm:generation_tokens_total", "vllm:num_requests_running"),
        ("llamacpp", "llamacpp:tokens_predicted_total", "llamacpp:requests_processing"),
        ("sglang", "sglang:generation_tokens_total", "sglang:num_running_reqs"),
        ("tgi", "tgi_request_generated_tokens_sum", "tgi_batch_current_size"),
    ],
)
def test_metrics_have_the_names_of_their_server_and_can_be_parsed(start, ask, dialect, counted, running):
    server = start(dialect=dialect)
    ask(server, "/v1/chat/completions", BODY)
    page = ask(server, "/metrics").body.decode()
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }
    assert (samples[counted], samples[running]) == (5, 0)


@pytest.mark.parametrize(
    ("dialect", "path", "field"),
    [
        ("sglang", "/get_model_info", "model_path"),
        ("sglang", "/model_info", "model_path"),
        ("sglang", "/get_server_info", "served_model_name"),
        ("sglang", "/server_info", "served_model_name"),
        ("tgi", "/info", "model_id"),
        ("llamacpp", "/props", "model_alias"),
    ],
)
def test_the_model_is_named_where_clients_look_for_it(start, ask, dialect, path, field):
    assert ask(start(dialect=dialect, models=["qwen"]), path).json[field] == "qwen"


@pytest.mark.parametrize(
    ("dialect", "path"),
    [("sglang", "/health_generate"), ("llamacpp", "/v1/health"), ("tgi", "/health"), ("vllm", "/ping")],
)
def test_a_healthy_server_says_so(start, ask, dialect, path):
    assert ask(start(dialect=dialect), path).status == 200


@pytest.mark.parametrize("target", ["/%68ealth", "http://x:1/health", "https://x/health?a=b"])
def test_a_path_is_found_however_it_is_written(start, ask, target):
    assert ask(start(), target).status == 200


@pytest.mark.parametrize("path", ["/props", "/slots", "/get_model_info", "/info", "/flush_cache"])
def test_a_server_has_no_path_of_another(start, ask, path):
    assert ask(start(dialect="vllm"), path).status == 404


def test_sglangs_cache_is_flushed(start, ask):
    server = start(dialect="sglang", capacity={"prefix_cache": True})
    long = {**BODY, "messages": [{"role": "user", "content": "x" * 400}]}

    def hits():
        page = ask(server, "/metrics").body.decode()
        return float(re.search(r"^sglang:cached_tokens_total\{.*\} (\S+)$", page, re.MULTILINE)[1])

    ask(server, "/v1/chat/completions", long)
    assert b"Cache flushed" in ask(server, "/flush_cache", b"").body
    ask(server, "/v1/chat/completions", long)
    assert hits() == 0
    ask(server, "/v1/chat/completions", long)
    assert hits() > 0


@pytest.mark.parametrize(
    ("dialect", "text", "back"), [("vllm", "prompt", "prompt"), ("llamacpp", "content", "content")]
)
def test_what_was_tokenized_is_detokenized(start, ask, dialect, text, back):
    server = start(dialect=dialect)
    said = "bugün hava nasıl, İstanbul'da?"
    tokens = ask(server, "/tokenize", {text: said}).json["tokens"]
    assert ask(server, "/detokenize", {"tokens": tokens}).json == {back: said}


def test_an_unknown_token_is_the_replacement_character(start, ask):
    assert ask(start(), "/detokenize", {"tokens": [-5]}).json == {"prompt": "\N{REPLACEMENT CHARACTER}"}


@pytest.mark.parametrize("body", [{}, {"tokens": "a"}, {"tokens": ["a"]}, []])
def test_what_is_no_list_of_tokens_is_refused(start, ask, body):
    assert ask(start(), "/detokenize", body).status == 400


def test_every_sequence_of_a_request_is_counted_as_vllm_counts_it(start, ask):
    server = start()
    ask(server, "/v1/chat/completions", {**BODY, "n": 3})
    page = ask(server, "/metrics").body.decode()

    def value(name, labels='engine="0",model_name="mock"'):
        return float(re.search(rf"^vllm:{name}{{{re.escape(labels)}}} (\S+)$", page, re.MULTILINE)[1])

    assert value("request_success_total", 'engine="0",finished_reason="length",model_name="mock"') == 3
    assert (value("prompt_tokens_total"), value("generation_tokens_total")) == (30, 15)
    assert (value("request_params_n_count"), value("request_params_n_sum")) == (1, 3)
    assert value("request_params_max_tokens_sum") == 15
    assert value("e2e_request_latency_seconds_count") == 3
