"""What the peers of the mock's speed benchmark answer with; ``FAKE=ready`` or ``FAKE=made`` chooses.

*ready*: the request's JSON is parsed, and bytes that were made before are sent: the least that a server can
do, and less than it must. *made*: what somebody writes who needs a fake OpenAI server for an afternoon.
Every request is kept in a bounded log, every answer has an id, a time of creation and usage of its own, and
`json.dumps` writes it. No rules, no tokenizer, no metrics, no checks of the request: that is still less than
the mock does.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections import deque
from collections.abc import Iterable
from typing import Any

WORDS = ["cat "] * 30 + ["cat"]  # 31 chunks, and one more that says why the answer ended
TEXT = "".join(WORDS)
LOG: deque[tuple[float, Any]] = deque(maxlen=10_000)
MAKES = os.environ.get("FAKE", "made") == "made"


def _usage(request: dict[str, Any]) -> dict[str, int]:
    prompt = sum(len(message["content"].split()) for message in request["messages"])
    made = len(WORDS) + 1
    return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}


def _answer(request: dict[str, Any]) -> bytes:
    message = {"role": "assistant", "content": TEXT}
    return json.dumps(
        {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": _usage(request),
        }
    ).encode()


def _chunks(request: dict[str, Any]) -> Iterable[bytes]:
    about = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": request["model"],
    }
    for word in WORDS:
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        yield b"data: " + json.dumps({**about, "choices": [choice]}).encode() + b"\n\n"
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield b"data: " + json.dumps({**about, "choices": [last]}).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


_ASKED = {"model": "mock", "messages": [{"role": "user", "content": "how fast are you"}]}
_READY_ANSWER = _answer(_ASKED)
_READY_CHUNKS = list(_chunks(_ASKED))


def answer(body: bytes) -> bytes | Iterable[bytes]:
    """The body of the answer to *body*, or the events of a stream."""
    request = json.loads(body)
    if not MAKES:
        return _READY_CHUNKS if request.get("stream") else _READY_ANSWER
    LOG.append((time.time(), request))
    return _chunks(request) if request.get("stream") else _answer(request)
