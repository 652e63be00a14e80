"""The mock's tokenizer: a count that follows max(words, characters / 4), and pieces to match."""

from __future__ import annotations

import heapq
import re
from functools import lru_cache

_WORD = re.compile(r"\s*\S+")


def count_tokens(text: str) -> int:
    """max(words, characters / 4 rounded up): the usual estimate, 0 for an empty text."""
    return max(len(text.split()), -(-len(text) // 4))


@lru_cache(maxsize=1024)
def split_pieces(text: str) -> tuple[str, ...]:
    """*text* cut into exactly ``count_tokens(text)`` pieces, none of them empty.

    Words stay whole where the count allows it; else the longest ones are cut in halves first,
    so that pieces look like a tokenizer's and not like a ruler's.
    """
    count = count_tokens(text)
    words: list[str] = _WORD.findall(text)
    if not words:
        return tuple(text[at : at + 4] for at in range(0, len(text), 4))
    covered = sum(map(len, words))
    words[-1] += text[covered:]  # space after the last word
    if len(words) >= count:
        return tuple(words)
    return _halve_longest(words, count)


def _halve_longest(words: list[str], count: int) -> tuple[str, ...]:
    """*words* with the longest ones split until there are *count* pieces, in reading order."""
    heap: list[tuple[int, int, str]] = []
    at = 0
    for word in words:
        heap.append((-len(word), at, word))
        at += len(word)
    heapq.heapify(heap)
    while len(heap) < count:
        length, start, piece = heap[0]
        middle = -length // 2 + (-length % 2)
        heapq.heapreplace(heap, (-middle, start, piece[:middle]))
        heapq.heappush(heap, (-(len(piece) - middle), start + middle, piece[middle:]))
    return tuple(piece for _, piece in sorted((start, piece) for _, start, piece in heap))
