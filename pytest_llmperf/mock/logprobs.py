"""Log probabilities: made up, the same for the same token."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from pytest_llmperf.mock.pieces import token_ids


def logprobs(pieces: tuple[str, ...], top: int | None) -> dict[str, Any] | None:
    """Chat log probabilities: made up, the same for the same token."""
    if top is None:
        return None
    return {"content": [_token_logprob(piece, top) for piece in pieces if piece]}


def _token_logprob(piece: str, top: int) -> dict[str, Any]:
    rivals = [piece, *(f"{piece[:-1]}{chr(97 + at)}" for at in range(top - 1))] if top else []
    own = _entry(piece)
    return {
        **own,
        "top_logprobs": [_entry(rival) | {"logprob": own["logprob"] - at} for at, rival in enumerate(rivals)],
    }


def _entry(piece: str) -> dict[str, Any]:
    data = piece.encode("utf-8", "replace")
    return {"token": piece, "logprob": -(crc32(data) % 4000) / 1000, "bytes": list(data)}


def completion_logprobs(
    pieces: tuple[str, ...], top: int | None, offset: int = 0, *, starts: bool = False
) -> dict[str, Any] | None:
    """Log probabilities in the older form of text completions.

    If it *starts* with the prompt, nothing precedes the first token, which so has none.
    """
    if top is None:
        return None
    entries = [_token_logprob(piece, max(1, top)) for piece in pieces if piece]
    offsets = []
    for entry in entries:
        offsets.append(offset)
        offset += len(entry["token"])
    own: list[float | None] = [entry["logprob"] for entry in entries]
    rivals: list[dict[str, float] | None] = [
        {one["token"]: one["logprob"] for one in entry["top_logprobs"]} for entry in entries
    ]
    if starts and entries:
        own[0] = rivals[0] = None
    return {
        "text_offset": offsets,
        "token_logprobs": own,
        "tokens": [entry["token"] for entry in entries],
        "top_logprobs": rivals,
    }


def prompt_logprobs(pieces: tuple[str, ...], top: int | None) -> list[Any] | None:
    """Log probabilities of a prompt's tokens: none of the first, and of each other by its id."""
    if top is None:
        return None
    shown: list[Any] = [None]
    for piece in pieces[1:]:
        [own] = token_ids(piece)[:1]
        shown.append({str(own): {"logprob": _entry(piece)["logprob"], "rank": 1, "decoded_token": piece}})
    return shown
