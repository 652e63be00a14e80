"""vLLM's bytes, field by field as recorded from vLLM 0.32."""

# ruff: noqa: FBT001 - members of a Dialect are called by position

from __future__ import annotations

from time import time
from typing import Any
from zlib import crc32

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.dialect import Dialect, Frames, HeadWriter, encode_json, encode_text, sse, to_bytes
from pytest_llmperf.mock.generation import Choice, Generation
from pytest_llmperf.mock.pieces import split_pieces
from pytest_llmperf.mock.plan import Timing

VERSION = "0.32.0"
FINGERPRINT = "vllm-0.32.0-9f35d8f8"

HEAD = HeadWriter(
    "HTTP/1.1 {status} {reason}\r\ndate: {date}\r\nserver: uvicorn{more}{length}{type}\r\n"
    "vary: Origin{close}{chunked}"
)


def refusal(refused: Refusal) -> tuple[int, bytes]:
    """The error object."""
    error = {"message": refused.message, "type": refused.type, "param": refused.param, "code": refused.status}
    return refused.status, to_bytes({"error": error})


def usage(generation: Generation, *, stream: bool, chat: bool = True) -> dict[str, Any]:
    """Token counts; those of streams, and of text completions, have fewer fields."""
    prompt, completion = generation.ask.prompt_tokens, generation.completion_tokens
    cached: dict[str, Any] = {"cached_tokens": generation.cached_tokens}
    if chat:
        cached["created_cache_tokens"] = 0
    counts = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    if stream:
        return {**counts, "prompt_tokens_details": cached}
    return {
        **counts,
        "prompt_tokens_details": {**cached, "multimodal_tokens": None},
        "completion_tokens_details": None,
    }


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


def chat_events(generation: Generation, include_usage: bool) -> Frames:
    """The events of a streamed chat answer."""
    start = _start(generation, "chat.completion.chunk")
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
    if include_usage:
        counts = encode_json(usage(generation, stream=True))
        last = f'{start}],"usage":{counts},"system_fingerprint":"{FINGERPRINT}"}}'
        frames.append((generation.steps - 1, sse(last)))
    return frames


def _start(generation: Generation, kind: str) -> str:
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
        for number, piece in enumerate(split_pieces(arguments)):
            function: dict[str, Any] = {"arguments": piece}
            call: dict[str, Any] = {"index": at, "function": function}
            if number == 0:
                call = {
                    "id": call_id(generation, at),
                    "type": "function",
                    "index": at,
                    "function": {"name": name, **function},
                }
            frames.append((step, sse(_delta(head, f'"tool_calls":[{encode_json(call)}]', "null", "null"))))
            step += 1
    return frames


def call_id(generation: Generation, at: int) -> str:
    """The id of a tool call."""
    return f"chatcmpl-tool-{crc32(generation.id.encode()):08x}{at:08x}"


def completion(generation: Generation, _: Timing) -> bytes:
    """The body of a text completion."""
    choices = [
        {
            "index": choice.index,
            "text": choice.text,
            "logprobs": completion_logprobs(choice.pieces, generation.ask.top_logprobs),
            "finish_reason": choice.finish,
            "stop_reason": choice.stop_reason,
            "token_ids": None,
            "prompt_logprobs": None,
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
            "model": generation.ask.said.model,
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": FINGERPRINT,
            "usage": usage(generation, stream=False, chat=False),
            "kv_transfer_params": None,
        }
    ).encode("utf-8", "replace")


def completion_events(generation: Generation, include_usage: bool) -> Frames:
    """The events of a streamed text completion."""
    start = _start(generation, "text_completion")
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
                "logprobs": completion_logprobs((piece,), generation.ask.top_logprobs, offset)
                if piece
                else None,
                "finish_reason": choice.finish if last else None,
                "stop_reason": choice.stop_reason if last else None,
                "prompt_token_ids": None,
                "token_ids": None,
            }
            offset += len(piece)
            frames.append((step, sse(f"{start}{encode_json(body)}]}}")))
    frames.sort(key=lambda frame: frame[0])
    if include_usage:
        counts = encode_json(usage(generation, stream=True, chat=False))
        last_event = f'{start}],"usage":{counts},"system_fingerprint":"{FINGERPRINT}"}}'
        frames.append((generation.steps - 1, sse(last_event)))
    return frames


def models(names: tuple[str, ...], max_model_len: int) -> dict[str, Any]:
    """The list of models."""
    now = int(time())
    permission = {
        "object": "model_permission",
        "created": now,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    listed = [
        {
            "id": name,
            "object": "model",
            "created": now,
            "owned_by": "vllm",
            "root": name,
            "parent": None,
            "max_model_len": max_model_len,
            "permission": [{"id": f"modelperm-{crc32(name.encode('utf-8', 'replace')):016x}", **permission}],
        }
        for name in names
    ]
    return {"object": "list", "data": listed}


def logprobs(pieces: tuple[str, ...], top: int | None) -> dict[str, Any] | None:
    """Chat log probabilities: made up, the same for the same token."""
    if top is None:
        return None
    return {"content": [_token_logprob(piece, top) for piece in pieces if piece]}


def _token_logprob(piece: str, top: int) -> dict[str, Any]:
    rivals = [piece, *(f"{piece[:-1]}{chr(97 + at)}" for at in range(top - 1))] if top else []
    own = _entry(piece, 0)
    return {
        **own,
        "top_logprobs": [
            _entry(rival, at) | {"logprob": own["logprob"] - at} for at, rival in enumerate(rivals)
        ],
    }


def _entry(piece: str, _rank: int) -> dict[str, Any]:
    data = piece.encode("utf-8", "replace")
    return {"token": piece, "logprob": -(crc32(data) % 4000) / 1000, "bytes": list(data)}


def completion_logprobs(pieces: tuple[str, ...], top: int | None, offset: int = 0) -> dict[str, Any] | None:
    """Log probabilities in the older form of text completions."""
    if top is None:
        return None
    entries = [_token_logprob(piece, max(1, top)) for piece in pieces if piece]
    offsets = []
    for entry in entries:
        offsets.append(offset)
        offset += len(entry["token"])
    return {
        "text_offset": offsets,
        "token_logprobs": [entry["logprob"] for entry in entries],
        "tokens": [entry["token"] for entry in entries],
        "top_logprobs": [
            {one["token"]: one["logprob"] for one in entry["top_logprobs"]} for entry in entries
        ],
    }


VLLM = Dialect(
    name="vllm",
    head=HEAD,
    refusal=refusal,
    not_found=lambda _method, _path: (404, b'{"detail":"Not Found"}'),
    not_allowed=lambda _method, _path: (405, b'{"detail":"Method Not Allowed"}'),
    models=models,
    chat=chat,
    chat_events=chat_events,
    completion=completion,
    completion_events=completion_events,
)
