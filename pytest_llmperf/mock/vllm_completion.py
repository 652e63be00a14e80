"""vLLM's text completions, field by field as vLLM 0.32 writes them."""

from __future__ import annotations

from typing import Any

from pytest_llmperf.mock.dialect import Frames, encode_json, sse
from pytest_llmperf.mock.generation import Choice, Generation
from pytest_llmperf.mock.logprobs import completion_logprobs, prompt_logprobs
from pytest_llmperf.mock.pieces import split_pieces, token_ids
from pytest_llmperf.mock.plan import Timing
from pytest_llmperf.mock.vllm_chat import start_of
from pytest_llmperf.mock.vllm_usage import FINGERPRINT, IN_EVERY_CHUNK, usage, with_usage


def completion(generation: Generation, _: Timing) -> bytes:
    """The body of a text completion."""
    ask = generation.ask
    choices = [
        {
            "index": choice.index,
            "text": choice.text,
            "logprobs": _shown(generation, choice),
            "finish_reason": choice.finish,
            "stop_reason": choice.stop_reason,
            "token_ids": None,
            "prompt_logprobs": _of_prompt(generation),
            "prompt_token_ids": None,
            "routed_experts": None,
        }
        for choice in generation.choices
    ]
    return encode_json(
        {
            "id": generation.id,
            "object": "text_completion",
            "created": generation.created,
            "model": ask.said.model,
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": FINGERPRINT,
            "usage": usage(generation, stream=False, chat=False),
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }
    ).encode("utf-8", "replace")


def _of_prompt(generation: Generation) -> list[Any] | None:
    ask = generation.ask
    return prompt_logprobs(split_pieces(ask.echo), ask.top_logprobs) if ask.echo else None


def _shown(generation: Generation, choice: Choice) -> dict[str, Any] | None:
    """Log probabilities of the prompt, if it is repeated, and of the answer."""
    ask = generation.ask
    if not ask.echo:
        return completion_logprobs(choice.pieces, ask.top_logprobs)
    first, *others = choice.pieces or ("",)
    answer = (first.removeprefix(ask.echo), *others)
    return completion_logprobs((*split_pieces(ask.echo), *answer), ask.top_logprobs, starts=True)


def completion_events(generation: Generation, include_usage: int) -> Frames:
    """The events of a streamed text completion."""
    start = start_of(generation, "text_completion")
    signed = "" if include_usage else f',"system_fingerprint":"{FINGERPRINT}"'
    ask = generation.ask
    frames: Frames = []
    for choice in generation.choices:
        offset = 0
        pieces = choice.pieces if not choice.ends_by_token else (*choice.pieces, "")
        for step, piece in enumerate(pieces):
            last = step == len(pieces) - 1
            if not piece and not last:
                continue
            body = {
                "index": choice.index,
                "text": piece,
                "logprobs": completion_logprobs((piece,), ask.top_logprobs, offset) if piece else None,
                "finish_reason": choice.finish if last else None,
                "stop_reason": choice.stop_reason if last else None,
                "prompt_token_ids": token_ids(ask.echo) if ask.echo and not offset else None,
                "token_ids": None,
            }
            offset += len(piece)
            frames.append((step, sse(f"{start}{encode_json(body)}]{signed if last else ''}}}")))
    frames.sort(key=lambda frame: frame[0])
    if include_usage == IN_EVERY_CHUNK:
        frames = with_usage(frames, generation, chat=False)
    if include_usage:
        counts = encode_json(usage(generation, stream=True, chat=False))
        last_event = f'{start}],"usage":{counts},"system_fingerprint":"{FINGERPRINT}"}}'
        frames.append((generation.steps - 1, sse(last_event)))
    return frames
