"""SGLang's /generate, as its documentation and sources have it."""

from __future__ import annotations

from typing import Any

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.dialect import Frames, encode_json, sse, to_bytes
from pytest_llmperf.mock.generation import Ask, Choice, Generation
from pytest_llmperf.mock.instance import check_schema
from pytest_llmperf.mock.native import Native, prompt_ask, texts, whole_number
from pytest_llmperf.mock.openai_ask import Limits
from pytest_llmperf.mock.pieces import token_ids
from pytest_llmperf.mock.plan import Timing
from pytest_llmperf.mock.sampling import MAX_N
from pytest_llmperf.mock.schema_text import parsed_schema

_USUAL_TOKENS = 128
_END = 151645  # <|im_end|>


def _ask(request: Any, limits: Limits, role: str | None) -> Ask:
    given = request if isinstance(request, dict) else {}
    text, ids = given.get("text"), given.get("input_ids")
    if isinstance(ids, list) and text is None:
        text = " ".join(map(str, ids))
    if not isinstance(text, str):
        problem = "Either text, input_ids or input_embeds should be provided."
        raise Refusal(status=400, message=problem, shape="prompt")
    params = given.get("sampling_params")
    params = params if isinstance(params, dict) else {}
    schema = parsed_schema(params.get("json_schema"))
    if schema is not None:
        check_schema(schema)
    return prompt_ask(
        text,
        limits,
        role,
        max_tokens=whole_number(params.get("max_new_tokens"), _USUAL_TOKENS),
        stop=texts(params.get("stop")),
        n=max(1, min(whole_number(params.get("n"), 1) or 1, MAX_N)),
        schema=schema,
    )


def _streams(request: Any) -> bool:
    return isinstance(request, dict) and request.get("stream") is True


def _one(made: Generation, choice: Choice, steps: int, latency_s: float | None) -> dict[str, Any]:
    """The answer as far as *steps* tokens; the text is all that there is of it so far."""
    text = "".join(choice.pieces[:steps])
    return {
        "text": text,
        "output_ids": [one for piece in choice.pieces[:steps] for one in token_ids(piece)[:1]]
        + ([_END] if steps > len(choice.pieces) else []),
        "meta_info": {
            "id": made.id,
            "finish_reason": None if latency_s is None else _reason(choice),
            "prompt_tokens": made.ask.prompt_tokens,
            "weight_version": "default",
            "total_retractions": 0,
            "completion_tokens": steps if latency_s is None or made.ask.n > 1 else made.completion_tokens,
            "cached_tokens": made.cached_tokens,
            **({} if latency_s is None else {"e2e_latency": latency_s}),
        },
    }


def _reason(choice: Choice) -> dict[str, Any]:
    if choice.finish == "length":
        return {"type": "length", "length": choice.tokens}
    return {"type": "stop", "matched": choice.stop_reason or _END}


def _whole(_: Any, made: Generation, timing: Timing) -> bytes:
    latency_s = (timing.last_ns - timing.arrived_ns) / 1e9
    answers = [_one(made, choice, choice.tokens, latency_s) for choice in made.choices]
    return to_bytes(answers if made.ask.n > 1 else answers[0])


def _events(_: Any, made: Generation) -> Frames:
    frames: Frames = []
    for choice in made.choices:
        for step in range(choice.tokens - 1):
            shown = {**_one(made, choice, step + 1, None), **_index(made, choice)}
            frames.append((step, sse(encode_json(shown))))
    frames.sort(key=lambda frame: frame[0])
    return frames


def _end(_: Any, made: Generation, timing: Timing) -> bytes:
    latency_s = (timing.last_ns - timing.arrived_ns) / 1e9
    return b"".join(
        sse(encode_json({**_one(made, choice, choice.tokens, latency_s), **_index(made, choice)}))
        for choice in made.choices
    )


def _index(made: Generation, choice: Choice) -> dict[str, int]:
    return {"index": choice.index} if made.ask.n > 1 else {}


GENERATE = Native(
    ask=_ask, streams=_streams, whole=_whole, events=_events, end=_end, done=b"data: [DONE]\n\n"
)
