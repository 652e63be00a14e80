"""How vLLM counts tokens, and signs what it says."""

from __future__ import annotations

from typing import Any

from pytest_llmperf.mock.dialect import Frames, encode_json
from pytest_llmperf.mock.generation import Generation

FINGERPRINT = "vllm-0.32.0-9f35d8f8"
IN_EVERY_CHUNK = 2  #: what a dialect is told as "include usage", where it is more than yes or no


def usage(generation: Generation, *, stream: bool, chat: bool = True) -> dict[str, Any]:
    """Token counts; those of streams have fewer fields, and text completions count fewer of them."""
    prompt, completion = generation.ask.prompt_tokens, generation.completion_tokens
    cached: dict[str, Any] = {"cached_tokens": generation.cached_tokens}
    counts = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    if stream:
        return {**counts, "prompt_tokens_details": {**cached, "created_cache_tokens": 0} if chat else cached}
    details = {**cached, "created_cache_tokens": 0 if chat else None, "multimodal_tokens": None}
    return {**counts, "prompt_tokens_details": details, "completion_tokens_details": None}


def with_usage(frames: Frames, generation: Generation, *, chat: bool) -> Frames:
    """*frames* with the count so far in each of them (``continuous_usage_stats``)."""
    prompt = generation.ask.prompt_tokens
    counted: Frames = []
    for step, frame in frames:
        head, bracket, rest = frame.rpartition(b"}]")  # after it comes what is no choice
        made = 0 if b'"role":' in frame else step + 1
        counts: dict[str, Any] = {
            "prompt_tokens": prompt,
            "total_tokens": prompt + made,
            "completion_tokens": made,
        }
        if chat:
            counts["completion_tokens_details"] = None
        counted.append((step, head + bracket + b',"usage":' + encode_json(counts).encode() + rest))
    return counted
