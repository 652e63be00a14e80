"""vLLM's chat answers, field by field as vLLM 0.32 writes them."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from pytest_llmperf.mock.dialect import Frames, encode_json, encode_text, sse
from pytest_llmperf.mock.generation import Choice, Generation
from pytest_llmperf.mock.logprobs import logprobs
from pytest_llmperf.mock.pieces import split_pieces
from pytest_llmperf.mock.plan import Timing
from pytest_llmperf.mock.vllm_usage import FINGERPRINT, IN_EVERY_CHUNK, usage, with_usage


def chat(generation: Generation, timing: Timing) -> bytes:
    """The body of a chat answer."""
    ask, choice = generation.ask, generation.choices[0]
    if ask.n > 1 or choice.tool_calls or ask.top_logprobs is not None:
        return chat_in_full(generation, timing)
    prompt, made = ask.prompt_tokens, generation.completion_tokens
    reasoning = encode_text("".join(choice.reasoning)) if choice.reasoning else "null"
    stopped = "null" if choice.stop_reason is None else encode_text(choice.stop_reason)
    return (
        f'{{"id":"{generation.id}","object":"chat.completion","created":{generation.created},'
        f'"model":{encode_text(ask.said.model)},"choices":[{{"index":0,"message":{{"role":"assistant",'
        f'"content":{encode_text(choice.text)},"refusal":null,"annotations":null,"audio":null,'
        f'"function_call":null,"reasoning":{reasoning}}},"logprobs":null,"finish_reason":"{choice.finish}",'
        f'"stop_reason":{stopped},"token_ids":null,"routed_experts":null}}],'
        f'"service_tier":null,"system_fingerprint":"{FINGERPRINT}","usage":{{"prompt_tokens":{prompt},'
        f'"total_tokens":{prompt + made},"completion_tokens":{made},"prompt_tokens_details":{{'
        f'"cached_tokens":{generation.cached_tokens},"created_cache_tokens":0,"multimodal_tokens":null}},'
        '"completion_tokens_details":null},"prompt_logprobs":null,"prompt_token_ids":null,"prompt_text":null,'
        '"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}'
    ).encode("utf-8", "replace")


def chat_in_full(generation: Generation, _: Timing) -> bytes:
    """The same for every kind of answer; several times slower."""
    choices = []
    for choice in generation.choices:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if choice.tool_calls else choice.text,
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
        }
        if choice.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call_id(generation, at),
                    "type": "function",
                    "function": {"name": name, "arguments": arguments},
                }
                for at, (name, arguments) in enumerate(choice.tool_calls)
            ]
        message["reasoning"] = "".join(choice.reasoning) or None
        choices.append(
            {
                "index": choice.index,
                "message": message,
                "logprobs": logprobs(choice.pieces, generation.ask.top_logprobs),
                "finish_reason": choice.finish,
                "stop_reason": choice.stop_reason,
                "token_ids": None,
                "routed_experts": None,
            }
        )
    return encode_json(
        {
            "id": generation.id,
            "object": "chat.completion",
            "created": generation.created,
            "model": generation.ask.said.model,
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": FINGERPRINT,
            "usage": usage(generation, stream=False),
            "prompt_logprobs": None,
            "prompt_token_ids": None,
            "prompt_text": None,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }
    ).encode("utf-8", "replace")


def chat_events(generation: Generation, include_usage: int) -> Frames:
    """The events of a streamed chat answer."""
    start = start_of(generation, "chat.completion.chunk")
    frames: Frames = []
    many = len(generation.choices) > 1
    for choice in generation.choices:
        head = f'{start}{{"index":{choice.index},"delta":'
        frames.append(
            (
                0,
                sse(
                    f'{head}{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}],'
                    '"prompt_token_ids":null,"prompt_text":null}'
                ),
            )
        )
        frames += _deltas(
            generation, choice, head, "" if include_usage else f',"system_fingerprint":"{FINGERPRINT}"'
        )
    if many:
        frames.sort(key=lambda frame: frame[0])
    if include_usage == IN_EVERY_CHUNK:
        frames = with_usage(frames, generation, chat=True)
    if include_usage:
        counts = encode_json(usage(generation, stream=True))
        last = f'{start}],"usage":{counts},"system_fingerprint":"{FINGERPRINT}"}}'
        frames.append((generation.steps - 1, sse(last)))
    return frames


def start_of(generation: Generation, kind: str) -> str:
    """What every chunk of *generation* begins with."""
    model = encode_json(generation.ask.said.model)
    return f'{{"id":"{generation.id}","object":"{kind}","created":{generation.created},"model":{model},"choices":['  # noqa: E501


def _deltas(generation: Generation, choice: Choice, head: str, signed: str) -> Frames:
    frames: Frames = []
    top = generation.ask.top_logprobs
    step = 0
    for piece in choice.reasoning:
        frames.append((step, sse(_delta(head, f'"reasoning":{encode_json(piece)}', "null", "null"))))
        step += 1
    if choice.tool_calls:
        frames += _tool_deltas(generation, choice, head, step)
        step += len(choice.pieces)
    else:
        last = len(choice.pieces) - 1
        prefix, suffix = (
            f'data: {head}{{"content":',
            '},"logprobs":null,"finish_reason":null,"token_ids":null}]}\n\n',
        )
        for at, piece in enumerate(choice.pieces):
            if at == last and not choice.ends_by_token:
                break
            if piece and top is None:
                frames.append((step, f"{prefix}{encode_text(piece)}{suffix}".encode("utf-8", "replace")))
            elif piece:
                shown = encode_json(logprobs((piece,), top))
                frames.append((step, sse(_delta(head, f'"content":{encode_json(piece)}', shown, "null"))))
            step += 1
    tail = choice.pieces[-1] if choice.pieces and not choice.ends_by_token and not choice.tool_calls else ""
    shown = encode_json(logprobs((tail,), top)) if tail and top is not None else "null"
    delta = f'"content":{encode_json(tail)}' if tail else ""
    reason = encode_json(choice.finish) + f',"stop_reason":{encode_json(choice.stop_reason)}'
    frames.append((max(0, choice.tokens - 1), sse(_delta(head, delta, shown, reason, signed))))
    return frames


def _delta(head: str, delta: str, shown: str, finish: str, signed: str = "") -> str:
    return f'{head}{{{delta}}},"logprobs":{shown},"finish_reason":{finish},"token_ids":null}}]{signed}}}'


def _tool_deltas(generation: Generation, choice: Choice, head: str, step: int) -> Frames:
    frames: Frames = []
    for at, (name, arguments) in enumerate(choice.tool_calls):
        named = {"id": call_id(generation, at), "type": "function", "index": at, "function": {"name": name}}
        frames.append((step, _tool_delta(head, named)))
        for piece in split_pieces(arguments):
            frames.append((step, _tool_delta(head, {"index": at, "function": {"arguments": piece}})))
            step += 1
    return frames


def _tool_delta(head: str, call: dict[str, Any]) -> bytes:
    return sse(_delta(head, f'"content":null,"tool_calls":[{encode_json(call)}]', "null", "null"))


def call_id(generation: Generation, at: int) -> str:
    """The id of a tool call."""
    return f"chatcmpl-tool-{crc32(generation.id.encode()):08x}{at:08x}"
