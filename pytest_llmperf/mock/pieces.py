"""The mock's tokenizer: a count that follows max(words, characters / 4), and pieces to match."""

from __future__ import annotations

import heapq
import re
from functools import lru_cache
from operator import itemgetter
from zlib import crc32

_VOCABULARY = 151_643  # ids are below it
_LONGEST_KNOWN = 32 * 1024  # characters of a text whose pieces are kept
_WORD = re.compile(r"\s*\S+")


def count_tokens(text: str) -> int:
    """max(words, characters / 4 rounded up): the usual estimate, 0 for an empty text."""
    words, fours = len(text.split()), -(-len(text) // 4)
    return words if words > fours else fours  # noqa: FURB136 - max() takes three times as long


def token_ids(text: str) -> list[int]:
    """An id for each piece of *text*: the same piece, the same id."""
    return list(map(piece_id, split_pieces(text)))


def piece_id(piece: str) -> int:
    """The id of one piece."""
    return crc32(piece.encode("utf-8", "replace")) % _VOCABULARY


def split_pieces(text: str) -> tuple[str, ...]:
    """*text* cut into exactly ``count_tokens(text)`` pieces, none of them empty.

    Words stay whole where the count allows it; else the longest ones are cut in halves first,
    so that pieces look like a tokenizer's and not like a ruler's.
    """
    return _known(text) if len(text) <= _LONGEST_KNOWN else _split(text)


def _split(text: str) -> tuple[str, ...]:
    count = count_tokens(text)
    words: list[str] = _WORD.findall(text)
    if not words:
        return tuple(text[at : at + 4] for at in range(0, len(text), 4))
    covered = sum(map(len, words))
    words[-1] += text[covered:]  # space after the last word
    if len(words) >= count:
        return tuple(words)
    return _halve_longest(words, count)


_known = lru_cache(maxsize=256)(_split)  # rules say the same again and again


def _halve_longest(words: list[str], count: int) -> tuple[str, ...]:
    """*words* with the longest ones split until there are *count* pieces, in reading order."""
    missing = count - len(words)
    sizes = [-len(word) for word in words]
    # so many splits reach no more words than the longest so many
    longest = sorted(range(len(words)), key=sizes.__getitem__)[:missing]
    heap = [(sizes[at], at, 0, words[at]) for at in longest]  # sorted, therefore a heap
    for _ in range(missing):
        size, at, start, piece = heap[0]
        middle = (1 - size) // 2
        heapq.heapreplace(heap, (-middle, at, start, piece[:middle]))
        heapq.heappush(heap, (size + middle, at, start + middle, piece[middle:]))
    halves: dict[int, list[str]] = {}
    for _, at, _, piece in sorted(heap, key=itemgetter(1, 2)):
        halves.setdefault(at, []).append(piece)
    for at in sorted(halves, reverse=True):
        words[at : at + 1] = halves[at]
    return tuple(words)
