"""What was seen of an exchange, on its way between two processes: a line of JSON, then the bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

from pytest_llmperf.client.observation import Observation
from pytest_llmperf.core.exchange import FailureKind

_PLAIN = ("target", "began_s", "sent_s", "head_s", "status", "content_type", "encoding", "done_s", "message")


def pack(seen: Observation, tag: str) -> bytes:
    """*seen* as bytes; *tag* says whose it is."""
    head: dict[str, Any] = {name: getattr(seen, name) for name in _PLAIN}
    head["tag"] = tag
    head["failure"] = None if seen.failure is None else seen.failure.value
    head["sizes"] = [len(seen.body), *(len(data) for _, data in seen.pieces)]
    head["stamps"] = [at_s for at_s, _ in seen.pieces]
    line = json.dumps(head).encode()
    return b"".join([line, b"\n", seen.body, *(data for _, data in seen.pieces)])


def unpack(head: Mapping[str, Any], stream: BinaryIO) -> tuple[str, Observation]:
    """Tag and observation, from the line that was read and the bytes that follow in *stream*."""
    body, *pieces = (stream.read(size) for size in head["sizes"])
    failure = head["failure"]
    seen = Observation(
        **{name: head[name] for name in _PLAIN},
        body=body,
        pieces=list(zip(head["stamps"], pieces, strict=True)),
        failure=None if failure is None else FailureKind(failure),
    )
    return head["tag"], seen
