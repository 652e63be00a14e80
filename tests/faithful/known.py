"""Where the mock differs from a real server, and why it stays so. Everything else must agree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """A difference that stays."""

    why: str
    where: tuple[str, ...] = ("",)  #: how the paths of the differences begin


_EMBEDS = "the mock answers as a server of an embedding model would; the real one serves a chat model"
_OTHER_API = "an interface of another provider, which the mock does not have"
_OWN_WORDS = ("[0].body.error.message",)
_ENDLESS_CALL = "the tiny model never ends the arguments of its call; the mock's do"
_HEADER_ORDER = "the same headers in another order"

VLLM = {
    "chat: too many answers": Known(
        "vLLM allows 16384 answers to one request; so many would fill the mock's memory", _OWN_WORDS
    ),
    "messages: an image": Known("the mock plays a model that sees; the tiny one does not"),
    "form: a schema of a wrong type": Known(
        "the words of the grammar's compiler, of which vLLM has two: the mock's are those of the other",
        _OWN_WORDS,
    ),
    "form: a schema that nothing fits": Known("as above", _OWN_WORDS),
    "tools: required": Known(_ENDLESS_CALL, ("[0].body.choices[0]",)),
    "tools: required, streamed": Known(_ENDLESS_CALL, ("[0].body[3].data.choices[0]",)),
    "tools: named": Known(_ENDLESS_CALL, ("[0].body.choices[0]",)),
    "tools: named, streamed": Known(_ENDLESS_CALL, ("[0].body[3].data.choices[0]",)),
    "embeddings": Known(_EMBEDS),
    "responses": Known(_OTHER_API),
    "anthropic messages": Known(_OTHER_API),
    "models: with a slash at its end": Known(_HEADER_ORDER, ("[0].headers",)),
    "http: a slash at the end": Known(_HEADER_ORDER, ("[0].headers",)),
    "metrics": Known(
        "what tells of the Python process and its web framework, not of the engine, and of the tool parser",
        tuple(
            f"[0].body.{sample}{name}"
            for name in ("python_", "process_", "http_", "vllm:tool_call_parser_invocations")
            for sample in ("", "sample ")
        ),
    ),
    "docs": Known("a page for people, from a web framework that the mock does not have"),
    "detokenize": Known("the ids are those of another tokenizer", ("[0].body.prompt",)),
    "reset_prefix_cache": Known("the mock plays a server in development mode (VLLM_SERVER_DEV_MODE=1)"),
    "http: OPTIONS of a browser": Known("the mock grants no browser anything, in fewer words"),
    "http: version 1.0, streamed": Known(
        "uvicorn sends chunks to a client that cannot read them", ("[0].headers",)
    ),
    "http: upgrade to h2c": Known(
        "uvicorn loses the body of a request that offers an upgrade, as Java's client does; the mock reads it"
    ),
}

_OTHER_TOKENIZER = ("[0].body.error.n_prompt_tokens",)
_UNTAUGHT = "the grammar allows blanks, of which the untaught model writes as many as it may"
_LENGTH = ("[0].body.choices[0].finish_reason", "[0].body[2].data.choices[0].finish_reason")
_CALLS_NOTHING = "the untaught model never comes to its call; the mock calls"
_OTHER_MODEL = "facts about the model, which is another one, and the build"
_PARSER = "the words of a parser of JSON that the mock does not have; status and kind are the same"
_ORIGIN = "the mock grants no browser anything"
_PIPELINE = "cpp-httplib loses a request that comes before it has answered the one before"
_SLOT = "the mock has no slots that it could number"

LLAMA = {
    "chat: stop, streamed": Known(
        "tells its timings twice when it stops at once", ("[0].body[1].data.timings",)
    ),
    "chat: stop an empty text": Known(
        "llama.cpp stops at once; the mock passes it over", ("[0].body.choices[0].finish_reason",)
    ),
    "messages: an image": Known("the mock plays a model that sees; the tiny one does not"),
    "messages: a lone surrogate": Known("half a character is no JSON for its parser; the mock reads it"),
    "messages: too long": Known("another tokenizer's count", _OTHER_TOKENIZER),
    "messages: too long, streamed": Known("another tokenizer's count", _OTHER_TOKENIZER),
    "messages: 1 MB": Known("another tokenizer's count", _OTHER_TOKENIZER),
    "text: too long": Known("another tokenizer's count", _OTHER_TOKENIZER),
    "form: json_schema": Known(_UNTAUGHT, _LENGTH),
    "form: json_schema, streamed": Known(_UNTAUGHT, _LENGTH),
    "form: json_schema, strict": Known(_UNTAUGHT, _LENGTH),
    "form: json_schema without name": Known(_UNTAUGHT, _LENGTH),
    "form: json_schema without json_schema": Known("an untaught model does not end", _LENGTH),
    "form: json_schema is a text": Known("an untaught model does not end", _LENGTH),
    "form: a schema that is a text": Known("an untaught model does not end", _LENGTH),
    "form: a schema that nothing fits": Known(
        "its grammar fails while it generates; the mock refuses before"
    ),
    "form: structured_outputs json": Known("an untaught model does not end", _LENGTH),
    "form: structured_outputs choice": Known("an untaught model does not end", _LENGTH),
    "form: structured_outputs regex": Known("an untaught model does not end", _LENGTH),
    "form: structured_outputs two kinds": Known("an untaught model does not end", _LENGTH),
    "text: json_schema": Known(_UNTAUGHT, _LENGTH),
    "tools: required": Known(_CALLS_NOTHING, ("[0].body.choices[0]",)),
    "tools: required, streamed": Known(_CALLS_NOTHING, ("[0].body",)),
    "tools: named": Known(_CALLS_NOTHING, ("[0].body.choices[0]",)),
    "tools: named, streamed": Known(_CALLS_NOTHING, ("[0].body",)),
    "text: two prompts, streamed": Known("each of its prompts counts its own usage", ("[0].body",)),
    "text: echo, nothing else, and logprobs": Known(
        "llama.cpp generates a token that nobody asked for", ("[0].body.choices[0].logprobs",)
    ),
    "responses": Known(_OTHER_API),
    "anthropic messages": Known(_OTHER_API),
    "models": Known(_OTHER_MODEL, ("[0].body.data[0].meta",)),
    "models: with a query": Known(_OTHER_MODEL, ("[0].body.data[0].meta",)),
    "props": Known(
        _OTHER_MODEL,
        tuple(
            f"[0].body.{name}"
            for name in (
                "total_slots",
                "model_ftype",
                "model_path",
                "media_marker",
                "chat_template",
                "bos_token",
                "build_info",
            )
        ),
    ),
    "slots": Known("what its slots did last", ("[0].body",)),
    "tokenize: content with pieces": Known("the pieces of another tokenizer", ("[0].body.tokens",)),
    "native completion": Known(_SLOT, ("[0].body.id_slot",)),
    "native completion, streamed": Known(_SLOT, ("[0].body[4].data.id_slot",)),
    "http: HEAD /health": Known("Accept-Ranges is missing", ("[0].headers",)),
    "http: HEAD /v1/models": Known("Accept-Ranges is missing", ("[0].headers",)),
    "http: OPTIONS": Known(_ORIGIN),
    "http: OPTIONS of a browser": Known(_ORIGIN),
    "http: a browser's origin": Known(_ORIGIN, ("[0].headers[1]",)),
    "http: a form": Known(_PARSER, _OWN_WORDS),
    "http: a broken body": Known(_PARSER, _OWN_WORDS),
    "http: a body that is no JSON": Known(_PARSER, _OWN_WORDS),
    "http: a body with a comma too many": Known(_PARSER, _OWN_WORDS),
    "http: a body that is no UTF-8": Known(_PARSER, _OWN_WORDS),
    "http: a body with NaN": Known("NaN is no JSON for its parser; the mock reads it"),
    "http: two requests at once": Known(_PIPELINE),
    "http: three different requests at once": Known(_PIPELINE),
    "http: version 1.0": Known("cpp-httplib answers HTTP/1.0 as if it were 1.1", ("[0].headers",)),
    "http: version 1.0, streamed": Known("cpp-httplib answers HTTP/1.0 as if it were 1.1", ("[0].headers",)),
    "http: no HTTP": Known("cpp-httplib says it closes, and does not", ("[0].stays", "[0].body")),
}
KNOWN = {"vllm": VLLM, "llama": LLAMA}
