"""What real servers and the mock are asked: requests good and bad, as bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
TALK = "Tell me about it."  # answered with as many tokens as are asked for
JSON = "JSON, please."  # answered by the grammar of the request
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "city": {"enum": ["Roma"]}},
    "required": ["ok", "city"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Roma"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
#: Letters and signs of which even noise has one soon.
ANY_LETTER = ["e", "a", "i", "o"]


@dataclass(frozen=True, slots=True)
class Question:
    """Bytes to send, and how many answers they have."""

    data: bytes
    answers: int = 1


def send(method: str, path: str, body: bytes = b"", **headers: str | None) -> Question:
    """A request with the headers that every client sends, *headers* beside or (None) without them."""
    lines = {"host": "127.0.0.1", "accept": "*/*"}
    if body or method == "POST":
        lines |= {"content-type": "application/json", "content-length": str(len(body))}
    for name, value in headers.items():
        lines.pop(key := name.replace("_", "-"), None)
        if value is not None:
            lines[key] = value
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return Question(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)


def get(path: str, **headers: str | None) -> Question:
    """A GET request."""
    return send("GET", path, **headers)


def post(path: str, body: Any, **headers: str | None) -> Question:
    """A POST request with *body* as JSON."""
    return send("POST", path, json.dumps(body, ensure_ascii=False).encode(), **headers)


def chat(text: Any = TALK, **params: Any) -> Question:
    """A chat request of four tokens, with *params* beside or (``...``) without the usual ones."""
    return post(CHAT, _body({"messages": [{"role": "user", "content": text}]}, params))


def complete(prompt: Any = TALK, **params: Any) -> Question:
    """A text completion of four tokens."""
    return post(TEXT, _body({"prompt": prompt}, params))


def _body(usual: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    body = {"model": "tiny", **usual, "max_tokens": 4, "temperature": 0, **params}
    return {key: value for key, value in body.items() if value is not ...}


def _chunked(body: bytes) -> bytes:
    middle = len(body) // 2
    parts = (body[:middle], body[middle:], b"")
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts)


def _old_http(body: bytes) -> bytes:
    head = f"POST {CHAT} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


_BODY = json.dumps(_body({"messages": [{"role": "user", "content": TALK}]}, {})).encode()
_USER = {"role": "user", "content": TALK}
_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


def _format(kind: str, **more: Any) -> dict[str, Any]:
    return {"response_format": {"type": kind, **more}, "max_tokens": 32}


def _schema(schema: Any, **more: Any) -> dict[str, Any]:
    return _format("json_schema", json_schema={"name": "city", "schema": schema, **more})


QUESTIONS: dict[str, Question] = {
    # chat
    "chat": chat(),
    "chat: stream": chat(stream=True),
    "chat: stream with usage": chat(**_USAGE),
    "chat: stream with usage in every chunk": chat(
        stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True}
    ),
    "chat: stream_options without stream": chat(stream_options={"include_usage": True}),
    "chat: stream_options null": chat(stream=True, stream_options=None),
    "chat: stream_options empty": chat(stream=True, stream_options={}),
    "chat: stream_options of the wrong type": chat(stream=True, stream_options="yes"),
    "chat: stream as a text": chat(stream="true"),
    "chat: stream is no flag": chat(stream="maybe"),
    "chat: two answers": chat(n=2, temperature=1),
    "chat: two streamed answers": chat(n=2, temperature=1, **_USAGE),
    "chat: two streamed answers without usage": chat(n=2, temperature=1, stream=True),
    "chat: two greedy answers": chat(n=2),
    "chat: no answer": chat(n=0),
    "chat: n of the wrong type": chat(n="two"),
    "chat: too many answers": chat(n=1_000_000),
    "chat: stop": chat(stop=ANY_LETTER, max_tokens=64),
    "chat: stop, streamed": chat(stop=ANY_LETTER, max_tokens=64, **_USAGE),
    "chat: stop and keep it": chat(stop=ANY_LETTER, max_tokens=64, include_stop_str_in_output=True),
    "chat: stop empty": chat(stop=[]),
    "chat: stop an empty text": chat(stop=""),
    "chat: stop of the wrong type": chat(stop=5),
    "chat: stop with a number in it": chat(stop=["x", 5]),
    "chat: seed": chat(seed=7),
    "chat: seed negative": chat(seed=-1),
    "chat: seed of the wrong type": chat(seed="seven"),
    "chat: logprobs": chat(logprobs=True),
    "chat: top_logprobs": chat(logprobs=True, top_logprobs=2),
    "chat: top_logprobs, streamed": chat(logprobs=True, top_logprobs=2, **_USAGE),
    "chat: top_logprobs zero": chat(logprobs=True, top_logprobs=0),
    "chat: top_logprobs without logprobs": chat(top_logprobs=2),
    "chat: top_logprobs too many": chat(logprobs=True, top_logprobs=1000),
    "chat: top_logprobs negative": chat(logprobs=True, top_logprobs=-3),
    "chat: logprobs a number": chat(logprobs=3),
    "chat: max_tokens zero": chat(max_tokens=0),
    "chat: max_tokens negative": chat(max_tokens=-1),
    "chat: max_tokens huge": chat(max_tokens=10**9),
    "chat: max_tokens beyond 64 bits": chat(max_tokens=10**30, stream=True),
    "chat: max_tokens and the prompt too long": chat(max_tokens=4096),
    "chat: max_tokens a text": chat(max_tokens="5"),
    "chat: max_tokens no number": chat(max_tokens="five"),
    "chat: max_tokens a fraction": chat(max_tokens=2.5),
    "chat: max_tokens a list": chat(max_tokens=[5]),
    "chat: max_completion_tokens": chat(max_tokens=..., max_completion_tokens=3),
    "chat: both limits": chat(max_tokens=6, max_completion_tokens=3),
    "chat: max_completion_tokens zero": chat(max_tokens=..., max_completion_tokens=0),
    "chat: temperature negative": chat(temperature=-1),
    "chat: temperature high": chat(temperature=3),
    "chat: temperature of the wrong type": chat(temperature="hot"),
    "chat: temperature and n of the wrong type": chat(temperature="hot", n=[]),
    "chat: top_p zero": chat(top_p=0),
    "chat: top_p above one": chat(top_p=1.5),
    "chat: top_k": chat(top_k=5),
    "chat: top_k wrong": chat(top_k=-7),
    "chat: min_p wrong": chat(min_p=2),
    "chat: presence_penalty too high": chat(presence_penalty=5),
    "chat: repetition_penalty zero": chat(repetition_penalty=0),
    "chat: logit_bias": chat(logit_bias={"5": 10}),
    "chat: prompt_logprobs, streamed": chat(prompt_logprobs=1, stream=True),
    "chat: cached": chat("It is the same long beginning. " * 20),
    "chat: cached, again": chat("It is the same long beginning. " * 20),
    "chat: user and metadata": chat(user="me", metadata={"a": "b"}),
    "chat: unknown field": chat(no_such_field=1),
    "chat: ignore_eos and min_tokens": chat(ignore_eos=True, min_tokens=2),
    "chat: min_tokens above max_tokens": chat(min_tokens=9),
    # messages
    "messages: missing": post(CHAT, {"model": "tiny", "max_tokens": 4}),
    "messages: null": chat(messages=None),
    "messages: a part that is a text": chat([TALK]),
    "messages: a part that is a number": chat([5]),
    "messages: a part without its text": chat([{"type": "text"}]),
    "messages: no fields": chat(messages=[{}]),
    "messages: role a number": chat(messages=[{"role": 5, "content": TALK}]),
    "messages: system content null": chat(messages=[{"role": "system", "content": None}]),
    "messages: assistant content null": chat(messages=[_USER, {"role": "assistant", "content": None}, _USER]),
    "messages: tool without id": chat(messages=[_USER, {"role": "tool", "content": "sunny"}]),
    "messages: the second is wrong": chat(messages=[_USER, {"role": "user", "content": 5}]),
    "messages: empty": chat(messages=[]),
    "messages: a text": chat(messages="hello"),
    "messages: of texts": chat(messages=["hello"]),
    "messages: without role": chat(messages=[{"content": TALK}]),
    "messages: without content": chat(messages=[{"role": "user"}]),
    "messages: content null": chat(messages=[{"role": "user", "content": None}]),
    "messages: content a number": chat(messages=[{"role": "user", "content": 5}]),
    "messages: content empty": chat(""),
    "messages: unknown role": chat(messages=[{"role": "wizard", "content": TALK}]),
    "messages: system only": chat(messages=[{"role": "system", "content": TALK}]),
    "messages: system twice": chat(messages=[{"role": "system", "content": TALK}] * 2 + [_USER]),
    "messages: assistant last": chat(messages=[_USER, {"role": "assistant", "content": "It"}]),
    "messages: a conversation": chat(messages=[_USER, {"role": "assistant", "content": "It is."}, _USER]),
    "messages: parts": chat([{"type": "text", "text": TALK}]),
    "messages: part without type": chat([{"text": TALK}]),
    "messages: part of an unknown type": chat([{"type": "smell", "smell": "rose"}]),
    "messages: an image": chat([{"type": "text", "text": TALK}, IMAGE]),
    "messages: unicode": chat("İstanbul'da hava nasıl? \U0001f324\ufe0f \u4f60\u597d \u0000 \u2028 end"),
    "messages: a lone surrogate": send(
        "POST", CHAT, json.dumps(_body({"messages": [{"role": "user", "content": "\ud800"}]}, {})).encode()
    ),
    "messages: too long": chat("word " * 6000),
    "messages: too long, streamed": chat("word " * 6000, stream=True),
    "messages: 1 MB": chat("kelime " * 150_000),
    # model
    "model: unknown": chat(model="gpt-17"),
    "model: unknown, streamed": chat(model="gpt-17", stream=True),
    "model: missing": chat(model=...),
    "model: null": chat(model=None),
    "model: empty": chat(model=""),
    "model: a number": chat(model=5),
    # answers in a form
    "form: text": chat(**_format("text") | {"max_tokens": 4}),
    "form: json_object": chat(JSON, **_format("json_object") | {"max_tokens": 2}),
    "form: json_schema": chat(JSON, **_schema(SCHEMA)),
    "form: json_schema, streamed": chat(JSON, **_schema(SCHEMA), **_USAGE),
    "form: json_schema, strict": chat(JSON, **_schema(SCHEMA, strict=True)),
    "form: json_schema cut short": chat(JSON, **_schema(SCHEMA) | {"max_tokens": 2}),
    "form: json_schema without name": chat(JSON, **_format("json_schema", json_schema={"schema": SCHEMA})),
    "form: json_schema without schema": chat(
        JSON, **_format("json_schema", json_schema={"name": "a"}) | {"max_tokens": 2}
    ),
    "form: json_schema without json_schema": chat(JSON, **_format("json_schema")),
    "form: json_schema is a text": chat(JSON, **_format("json_schema", json_schema="a")),
    "form: a schema of a wrong type": chat(JSON, **_schema({"type": "nonsense"})),
    "form: a schema that is a text": chat(JSON, **_schema("a")),
    "form: a schema that nothing fits": chat(
        JSON, **_schema({"type": "integer", "minimum": 5, "maximum": 1})
    ),
    "form: unknown": chat(JSON, **_format("poem")),
    "form: a text instead of an object": chat(JSON, response_format="json_object"),
    "form: without type": chat(JSON, response_format={}),
    "form: guided_json of old": chat(guided_json=SCHEMA),
    "form: structured_outputs json": chat(JSON, structured_outputs={"json": SCHEMA}, max_tokens=32),
    "form: structured_outputs choice": chat(JSON, structured_outputs={"choice": ["Roma"]}, max_tokens=32),
    "form: structured_outputs regex": chat(JSON, structured_outputs={"regex": "Roma[0-9]"}, max_tokens=32),
    "form: structured_outputs two kinds": chat(
        JSON, structured_outputs={"regex": "Roma", "choice": ["Roma"]}, max_tokens=32
    ),
    # tools
    "tools: auto": chat(tools=[TOOL]),
    "tools: none": chat(tools=[TOOL], tool_choice="none"),
    "tools: required": chat(JSON, tools=[TOOL], tool_choice="required", max_tokens=64),
    "tools: required, streamed": chat(
        JSON, tools=[TOOL], tool_choice="required", **_USAGE | {"max_tokens": 64}
    ),
    "tools: named": chat(
        JSON,
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        max_tokens=64,
    ),
    "tools: named, streamed": chat(
        JSON,
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        **_USAGE | {"max_tokens": 64},
    ),
    "tools: named but not there": chat(
        tools=[TOOL], tool_choice={"type": "function", "function": {"name": "stock"}}
    ),
    "tools: unknown choice": chat(tools=[TOOL], tool_choice="maybe"),
    "tools: choice without tools": chat(tool_choice="required"),
    "tools: auto without tools": chat(tool_choice="auto"),
    "tools: empty": chat(tools=[]),
    "tools: without function": chat(tools=[{"type": "function"}]),
    "tools: function without name": chat(tools=[{"type": "function", "function": {"description": "a"}}]),
    "tools: of texts": chat(tools=["weather"]),
    "tools: results": chat(
        messages=[
            _USER,
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city": "Roma"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ]
    ),
    # text completions
    "text": complete(),
    "text: stream": complete(stream=True),
    "text: stream with usage": complete(**_USAGE),
    "text: default length": complete(max_tokens=...),
    "text: two answers": complete(n=2, temperature=1),
    "text: two streamed answers": complete(n=2, temperature=1, stream=True),
    "text: two greedy answers": complete(n=2),
    "text: stream with usage in every chunk": complete(
        stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True}
    ),
    "text: two prompts": complete([TALK, "And you?"]),
    "text: two prompts, streamed": complete([TALK, "And you?"], **_USAGE),
    "text: token ids": complete([5, 6, 7]),
    "text: lists of token ids": complete([[5, 6, 7], [8]]),
    "text: empty prompt": complete(""),
    "text: empty list": complete([]),
    "text: prompt missing": post(TEXT, {"model": "tiny"}),
    "text: prompt null": complete(None),
    "text: prompt a number": complete(5),
    "text: echo": complete(echo=True),
    "text: echo, streamed": complete(echo=True, stream=True),
    "text: echo, nothing else, and logprobs": complete(echo=True, max_tokens=0, logprobs=1),
    "text: echo and nothing else": complete(echo=True, max_tokens=0),
    "text: max_tokens zero": complete(max_tokens=0),
    "text: suffix": complete(suffix="end"),
    "text: logprobs": complete(logprobs=2),
    "text: logprobs zero": complete(logprobs=0),
    "text: logprobs, streamed": complete(logprobs=2, stream=True),
    "text: logprobs and echo": complete(logprobs=1, echo=True),
    "text: logprobs too many": complete(logprobs=1000),
    "text: best_of": complete(best_of=2),
    "text: stop": complete(stop=ANY_LETTER, max_tokens=64),
    "text: unknown model": complete(model="gpt-17"),
    "text: too long": complete("word " * 6000),
    "text: temperature negative": complete(temperature=-1),
    "text: json_schema": complete(JSON, **_schema(SCHEMA)),
    # other paths
    "embeddings": post("/v1/embeddings", {"model": "tiny", "input": "hello"}),
    "responses": post("/v1/responses", {"model": "tiny", "input": TALK, "max_output_tokens": 4}),
    "anthropic messages": post("/v1/messages", {"model": "tiny", "messages": [_USER], "max_tokens": 4}),
    "rerank": post("/v1/rerank", {"model": "tiny", "query": "a", "documents": ["b"]}),
    "models": get("/v1/models"),
    "models: one": get("/v1/models/tiny"),
    "models: with a slash at its end": get("/v1/models/"),
    "models: with a query": get("/v1/models?limit=2"),
    "health": get("/health"),
    "ping": get("/ping"),
    "version": get("/version"),
    "metrics": get("/metrics"),
    "load": get("/load"),
    "server_info": get("/server_info"),
    "root": get("/"),
    "docs": get("/docs"),
    "props": get("/props"),
    "slots": get("/slots"),
    "favicon": get("/favicon.ico"),
    "tokenize: prompt": post("/tokenize", {"model": "tiny", "prompt": "hello world"}),
    "tokenize: prompt with texts": post(
        "/tokenize", {"model": "tiny", "prompt": "hello world", "return_token_strs": True}
    ),
    "tokenize: messages": post("/tokenize", {"model": "tiny", "messages": [_USER]}),
    "tokenize: content": post("/tokenize", {"content": "hello world"}),
    "tokenize: content with pieces": post("/tokenize", {"content": "hello world", "with_pieces": True}),
    "tokenize: nothing": post("/tokenize", {}),
    "tokenize: unknown model": post("/tokenize", {"model": "gpt-17", "prompt": "hello"}),
    "detokenize": post("/detokenize", {"model": "tiny", "tokens": [5, 6, 7]}),
    "detokenize: nothing": post("/detokenize", {"model": "tiny"}),
    "detokenize: of texts": post("/detokenize", {"model": "tiny", "tokens": ["a"]}),
    "reset_prefix_cache": post("/reset_prefix_cache", {}),
    "apply-template": post("/apply-template", {"messages": [_USER]}),
    "native completion": post("/completion", {"prompt": TALK, "n_predict": 4, "temperature": 0}),
    "native completion, streamed": post(
        "/completion", {"prompt": TALK, "n_predict": 4, "temperature": 0, "stream": True}
    ),
    # HTTP
    "http: GET where POST is meant": get(CHAT),
    "http: POST where GET is meant": post("/v1/models", {}),
    "http: PUT": send("PUT", CHAT, _BODY, content_type="application/json", content_length=str(len(_BODY))),
    "http: DELETE": send("DELETE", CHAT),
    "http: HEAD /health": send("HEAD", "/health"),
    "http: HEAD /v1/models": send("HEAD", "/v1/models"),
    "http: OPTIONS": send("OPTIONS", CHAT),
    "http: OPTIONS of a browser": send(
        "OPTIONS", CHAT, origin="http://localhost:3000", access_control_request_method="POST"
    ),
    "http: a browser's origin": send("POST", CHAT, _BODY, origin="http://localhost:3000"),
    "http: unknown path": post("/v1/no_such_thing", {}),
    "http: two slashes": send("POST", "//v1/chat/completions", _BODY),
    "http: a slash at the end": send("POST", CHAT + "/", _BODY),
    "http: a query": send("POST", CHAT + "?api-version=1", _BODY),
    "http: no content-type": send("POST", CHAT, _BODY, content_type=None),
    "http: content-type text/plain": send("POST", CHAT, _BODY, content_type="text/plain"),
    "http: content-type with charset": send(
        "POST", CHAT, _BODY, content_type="application/json; charset=utf-8"
    ),
    "http: a form": send("POST", CHAT, b"a=b", content_type="application/x-www-form-urlencoded"),
    "http: no body": send("POST", CHAT),
    "http: no body, no length": send("POST", CHAT, content_length=None),
    "http: a broken body": send("POST", CHAT, b'{"model": "tiny", "messages": ['),
    "http: a body that is no JSON": send("POST", CHAT, b"hello"),
    "http: a body with a comma too many": send("POST", CHAT, b'{"model": "tiny",}'),
    "http: a body that is a list": post(CHAT, []),
    "http: a body that is a number": post(CHAT, 5),
    "http: a body that is null": post(CHAT, None),
    "http: a body that is no UTF-8": send("POST", CHAT, b'{"model": "\xff"}'),
    "http: a body with a byte order mark": send("POST", CHAT, b"\xef\xbb\xbf" + _BODY),
    "http: a body with NaN": send("POST", CHAT, _BODY.replace(b'"temperature": 0', b'"temperature": NaN')),
    "http: chunked body": send(
        "POST", CHAT, _chunked(_BODY), content_length=None, transfer_encoding="chunked"
    ),
    "http: connection close": send("POST", CHAT, _BODY, connection="close"),
    "http: an authorization that nobody asked for": send("POST", CHAT, _BODY, authorization="Bearer x"),
    "http: a request id": send("POST", CHAT, _BODY, x_request_id="my-id"),
    "http: gzip accepted": send("POST", CHAT, _BODY, accept_encoding="gzip"),
    "http: two requests at once": Question(send("POST", CHAT, _BODY).data * 2, answers=2),
    "http: three different requests at once": Question(
        get("/health").data + chat(stream=True).data + get("/v1/models").data, answers=3
    ),
    "http: version 1.0": Question(_old_http(_BODY)),
    "http: version 1.0, streamed": Question(_old_http(_BODY[:-1] + b', "stream": true}')),
    "http: no host": Question(b"GET /health HTTP/1.1\r\n\r\n"),
    "http: no HTTP": Question(b"hello\r\n\r\n"),
    "http: expect 100": Question(send("POST", CHAT, _BODY, expect="100-continue").data, answers=2),
    "http: upgrade to h2c": send(
        "POST", CHAT, _BODY, connection="Upgrade, HTTP2-Settings", upgrade="h2c", http2_settings="AAMAAABk"
    ),
}
