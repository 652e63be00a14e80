"""llama.cpp's /completion, field by field as recorded."""

from __future__ import annotations

from typing import Any

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.dialect import Frames, encode_json, sse, to_bytes
from pytest_llmperf.mock.generation import Ask, Generation
from pytest_llmperf.mock.llamacpp_answers import timings
from pytest_llmperf.mock.native import Native, prompt_ask, spoken, texts, whole_number
from pytest_llmperf.mock.openai_ask import Limits
from pytest_llmperf.mock.pieces import token_ids
from pytest_llmperf.mock.plan import Timing
from pytest_llmperf.mock.server_pages import PARAMS

_GRAMMAR = {"grammar": "", "grammar_lazy": False, "grammar_triggers": [], "preserved_tokens": []}
_SETTABLE = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "n_probs",
)


def _ask(request: Any, limits: Limits, role: str | None) -> Ask:
    if not isinstance(request, dict) or "prompt" not in request:
        raise Refusal(
            status=400, message="[json.exception.out_of_range.403] key 'prompt' not found", shape="own"
        )
    prompt = request["prompt"]
    if isinstance(prompt, list):
        prompt = " ".join(map(str, prompt))
    if not isinstance(prompt, str):
        text = (
            '"prompt" elements must be a string, a list of tokens, a JSON object containing a prompt string, '
            "or a list of mixed strings & tokens."
        )
        raise Refusal(status=400, message=text, shape="own")
    wanted = whole_number(request.get("n_predict", request.get("max_tokens")), -1)
    return prompt_ask(prompt, limits, role, max_tokens=wanted, stop=texts(request.get("stop")))


def _settings(request: dict[str, Any], made: Generation) -> dict[str, Any]:
    """The parameters as the server understood them, in its order."""
    known = {name: request[name] for name in _SETTABLE if isinstance(request.get(name), int | float)}
    limit = whole_number(request.get("n_predict", request.get("max_tokens")), -1)
    params = {**PARAMS, **known, "max_tokens": limit, "n_predict": limit, "stream": _streams(request)}
    settings: dict[str, Any] = {}
    for name, value in params.items():
        if name == "max_tokens":
            settings["stop"] = list(made.ask.stop)
        elif name == "n_probs":
            settings["logit_bias"] = []
        elif name == "chat_format":
            settings |= _GRAMMAR
        settings[name] = "deepseek" if name == "reasoning_format" else value
        if name == "dry_penalty_last_n":
            settings["dry_sequence_breakers"] = ["\n", ":", '"', "*"]
    return settings


def _final(request: Any, made: Generation, timing: Timing, content: str) -> dict[str, Any]:
    choice, prompt = made.choices[0], made.ask.prompt_tokens
    kind = "limit" if choice.finish == "length" else "word" if choice.stop_reason else "eos"
    return {
        "index": 0,
        "content": content,
        "tokens": [],
        "id_slot": 0,
        "stop": True,
        "model": made.ask.said.model,
        "tokens_predicted": made.completion_tokens,
        "tokens_evaluated": prompt,
        "generation_settings": _settings(request, made),
        "prompt": request["prompt"],
        "has_new_line": "\n" in choice.text,
        "truncated": False,
        "stop_type": kind,
        "stopping_word": choice.stop_reason or "",
        "tokens_cached": prompt + made.completion_tokens - 1,
        "timings": timings(made, timing),
    }


def _whole(request: Any, made: Generation, timing: Timing) -> bytes:
    return to_bytes(_final(request, made, timing, made.choices[0].text))


def _events(_: Any, made: Generation) -> Frames:
    return [
        (
            step,
            sse(
                encode_json(
                    {
                        "index": 0,
                        "content": piece,
                        "tokens": token_ids(piece)[:1],
                        "stop": False,
                        "id_slot": -1,
                        "tokens_predicted": step + 1,
                        "tokens_evaluated": made.ask.prompt_tokens,
                    }
                )
            ),
        )
        for step, piece in spoken(made.choices[0])
    ]


def _end(request: Any, made: Generation, timing: Timing) -> bytes:
    return sse(encode_json(_final(request, made, timing, "")))


def _streams(request: Any) -> bool:
    return isinstance(request, dict) and request.get("stream") is True


COMPLETION = Native(ask=_ask, streams=_streams, whole=_whole, events=_events, end=_end)
