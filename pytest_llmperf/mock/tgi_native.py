"""Text Generation Inference's /generate and /generate_stream, as its documentation and sources have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zlib import crc32

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.dialect import Frames, encode_json, sse, to_bytes
from pytest_llmperf.mock.generation import Ask, Choice, Generation
from pytest_llmperf.mock.instance import check_schema
from pytest_llmperf.mock.native import Native, prompt_ask, texts, whole_number
from pytest_llmperf.mock.openai_ask import Limits
from pytest_llmperf.mock.pieces import token_ids
from pytest_llmperf.mock.plan import Timing
from pytest_llmperf.mock.schema_text import parsed_schema

_USUAL_TOKENS = 100
_END = {"id": 2, "text": "</s>", "logprob": -0.001, "special": True}


def _params(request: Any) -> dict[str, Any]:
    params = request.get("parameters") if isinstance(request, dict) else None
    return params if isinstance(params, dict) else {}


def _ask(request: Any, limits: Limits, role: str | None) -> Ask:
    prompt = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(prompt, str) or not prompt:
        raise Refusal(status=422, message="`inputs` cannot be empty", shape="prompt")
    params = _params(request)
    wanted = whole_number(params.get("max_new_tokens"), _USUAL_TOKENS)
    if wanted is not None and wanted < 1:
        raise Refusal(status=422, message="`max_new_tokens` must be strictly positive", shape="max_tokens")
    temperature = params.get("temperature")
    if isinstance(temperature, int | float) and temperature <= 0:
        raise Refusal(status=422, message="`temperature` must be strictly positive", shape="sampling")
    grammar = params.get("grammar")
    schema = None
    if isinstance(grammar, dict) and grammar.get("type") in ("json", "json_schema"):
        schema = parsed_schema(grammar.get("value"))
        check_schema(schema)
    return prompt_ask(prompt, limits, role, max_tokens=wanted, stop=texts(params.get("stop")), schema=schema)


def _tokens(choice: Choice) -> list[dict[str, Any]]:
    tokens = [_token(piece) for piece in choice.pieces]
    return [*tokens, _END] if choice.ends_by_token else tokens


def _token(piece: str) -> dict[str, Any]:
    logprob = -(crc32(piece.encode("utf-8", "replace")) % 4000) / 1000
    return {"id": (token_ids(piece) or [0])[0], "text": piece, "logprob": logprob, "special": False}


def _details(made: Generation) -> dict[str, Any]:
    choice = made.choices[0]
    reason = "length" if choice.finish == "length" else "stop_sequence" if choice.stop_reason else "eos_token"
    return {"finish_reason": reason, "generated_tokens": made.completion_tokens, "seed": None}


def _text(request: Any, made: Generation) -> str:
    before = request["inputs"] if _params(request).get("return_full_text") is True else ""
    return str(before) + made.choices[0].text


def _answer(request: Any, made: Generation) -> dict[str, Any]:
    answer: dict[str, Any] = {"generated_text": _text(request, made)}
    if _params(request).get("details") is True:
        answer["details"] = {**_details(made), "prefill": [], "tokens": _tokens(made.choices[0])}
    return answer


def _whole(request: Any, made: Generation, _: Timing) -> bytes:
    return to_bytes(_answer(request, made))


def _listed(request: Any, made: Generation, _: Timing) -> bytes:
    return to_bytes([_answer(request, made)])


def _events(request: Any, made: Generation) -> Frames:
    tokens = _tokens(made.choices[0]) or [_END]
    last = len(tokens) - 1
    details = {**_details(made), "input_length": made.ask.prompt_tokens}
    return [
        (
            step,
            sse(
                encode_json(
                    {
                        "index": step + 1,
                        "token": token,
                        "generated_text": _text(request, made) if step == last else None,
                        "details": details if step == last else None,
                    }
                )
            ),
        )
        for step, token in enumerate(tokens)
    ]


GENERATE = Native(ask=_ask, streams=lambda _: False, whole=_whole, events=_events)
GENERATE_STREAM = replace(GENERATE, streams=lambda _: True)
#: what TGI had before it had names: streams if it is told to, answers with a list else
ROOT = replace(
    GENERATE, whole=_listed, streams=lambda body: isinstance(body, dict) and body.get("stream") is True
)
