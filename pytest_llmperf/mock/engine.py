"""A model of an inference engine: places, a queue, batches that slow down, a cache of prefixes.

What it keeps of a real one: at most so many sequences run, the others wait in order; decoding
slows with the size of the batch; a prefill holds up everybody who is decoding, at once or in chunks;
sequences need room in the cache, more with every token, and when there is none left the newest one
is preempted and computed again later; prompts that begin alike are not computed twice. What it
leaves out: speculative decoding, and the blocks that running sequences share.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from math import ceil
from time import perf_counter_ns
from typing import Any
from zlib import crc32

from pytest_llmperf.mock._fields import Fields
from pytest_llmperf.mock.delivery import Delivery

#: Room in the cache where none is configured: no request is held up for it, and it shows on ``/metrics``.
KV_TOKENS = 1_048_576

_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How much the engine can do at once. None: without limit."""

    running: int | None = None  #: sequences
    waiting: int | None = None  #: requests in the queue; one more is refused with 503
    slowdown: float = 0.0  #: share by which each other running sequence lengthens a decoding step
    prefill_steals: bool = True  #: a prefill delays the next token of all who are decoding
    kv_tokens: int | None = None  #: room in the cache, for prompts and answers
    chunk: int | None = None  #: prompt tokens computed in one step beside decoding; None: all at once
    prefix_cache: bool = False
    block: int = 16  #: tokens in one block of the cache


_KEYS = ("running", "waiting", "slowdown", "prefill_steals", "kv_tokens", "chunk", "prefix_cache", "block")


def parse_capacity(section: Any, *, where: str) -> Capacity:
    """The ``capacity:`` part."""
    fields = Fields(section, where=where, allowed=_KEYS)
    return Capacity(
        running=fields.whole("running", 1, low=1) if "running" in fields else None,
        waiting=fields.whole("waiting", 0) if "waiting" in fields else None,
        slowdown=fields.number("slowdown", 0.0, high=10.0),
        prefill_steals=fields.flag("prefill_steals", default=True),
        kv_tokens=fields.whole("kv_tokens", 1, low=1) if "kv_tokens" in fields else None,
        chunk=fields.whole("chunk", 1, low=1) if "chunk" in fields else None,
        prefix_cache=fields.flag("prefix_cache"),
        block=fields.whole("block", 16, low=1, high=4096),
    )


class Engine:
    """The running and the waiting requests of one mock."""

    __slots__ = (
        "_admitting",
        "_cached",
        "_running",
        "_stolen_ns",
        "_waiting",
        "capacity",
        "hits",
        "kv_used",
        "preemptions",
        "queries",
        "rejected",
    )

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self._running: dict[Delivery, None] = {}  # oldest first
        self._waiting: deque[Delivery] = deque()
        self._cached: OrderedDict[int, None] = OrderedDict()  # blocks, least recently used first
        self._stolen_ns = 0
        self._admitting = False
        self.kv_used = 0  #: tokens held by running sequences
        self.queries = 0  #: prompt tokens that were looked up in the prefix cache
        self.hits = 0  #: of them, found
        self.rejected = 0
        self.preemptions = 0  #: sequences that had to give up their room in the cache

    @property
    def running(self) -> int:
        """Sequences that are being computed."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def kv_usage(self) -> float:
        """Share of the cache that is held, 0 to 1."""
        return self.share(self.kv_used)

    def share(self, tokens: int) -> float:
        """What share of the cache so many tokens take; without a limit, of the room that vLLM tells of."""
        return min(1.0, tokens / (self.capacity.kv_tokens or KV_TOKENS))

    def full(self, tokens: int) -> bool:
        """Whether one more request of *tokens* is to be refused."""
        limit = self.capacity.waiting
        return limit is not None and len(self._waiting) >= limit and not self._fits(tokens)

    def submit(self, delivery: Delivery) -> None:
        """Run *delivery* now or as soon as there is a place."""
        if self._waiting or not self._fits(self._needed(delivery)):
            self._waiting.append(delivery)
        else:
            self._admit(delivery, delivery.call.arrived_ns)

    def cached_tokens(self, prompt: str, prompt_tokens: int) -> int:
        """How many tokens of *prompt* are in the prefix cache, which then holds all of them."""
        if not self.capacity.prefix_cache:
            return 0
        size = self.capacity.block * _CHARACTERS_PER_TOKEN
        found, missed, key = 0, False, 0
        for at in range(0, len(prompt) - size + 1, size):
            key = crc32(prompt[at : at + size].encode("utf-8", "replace"), key)
            if key in self._cached:
                self._cached.move_to_end(key)
                found += 0 if missed else 1
            else:
                missed = True
                self._cached[key] = None
        self._forget_blocks()
        self.queries += prompt_tokens
        hits = min(found * self.capacity.block, prompt_tokens - 1)  # the last token is always computed
        self.hits += max(0, hits)
        return max(0, hits)

    def reset_prefix_cache(self) -> None:
        """Forget all prefixes."""
        self._cached.clear()

    # --- what a Delivery tells

    def pace(self, delivery: Delivery, gap_ns: int) -> int:
        """The gap before *delivery*'s next token under the load of this moment."""
        stolen_ns = self._stolen_ns - delivery.stolen_ns
        if self.capacity.chunk is not None:
            stolen_ns = min(stolen_ns, round(self.capacity.chunk * delivery.prefill_ns))
        delivery.stolen_ns += stolen_ns
        delivery.held += 1
        self.kv_used += 1
        self._make_room()
        return self._step_ns(gap_ns) + stolen_ns

    def ended(self, delivery: Delivery) -> None:
        """*delivery* gives its place to whoever waits."""
        if delivery in self._running:
            del self._running[delivery]
            self.kv_used -= delivery.held
        else:
            try:
                self._waiting.remove(delivery)
            except ValueError:
                return
        if self._admitting:  # one of those admitted below has ended at once
            return
        self._admitting = True
        now_ns = perf_counter_ns()
        while self._waiting and self._fits(self._needed(self._waiting[0])):
            self._admit(self._waiting.popleft(), now_ns)
        self._admitting = False

    def _admit(self, delivery: Delivery, now_ns: int) -> None:
        others = len(self._running)
        self._running[delivery] = None
        delivery.held = self._needed(delivery)
        self.kv_used += delivery.held
        prefill_ns = delivery.timing.prefilled_ns
        if delivery.paused:
            prefill_ns = round(delivery.prefill_ns * delivery.held)
        if self.capacity.prefill_steals:
            self._stolen_ns += prefill_ns
        delivery.stolen_ns = self._stolen_ns
        if delivery.paused:
            delivery.resume(now_ns)
            return
        chunk_ns = (self.capacity.chunk or 0) * delivery.prefill_ns
        gaps = delivery.plan.gaps
        if others and chunk_ns and isinstance(gaps, int):  # between two chunks the others decode
            delivery.plan.ttft_ns += (ceil(prefill_ns / chunk_ns) - 1) * self._step_ns(gaps)
        delivery.start(now_ns)

    def _make_room(self) -> None:
        """Preempt the newest sequences until the others fit; the oldest one always goes on."""
        limit = self.capacity.kv_tokens
        while limit is not None and self.kv_used > limit and len(self._running) > 1:
            newest = next(reversed(self._running))
            del self._running[newest]
            self.kv_used -= newest.held
            self.preemptions += 1
            newest.pause()
            self._waiting.appendleft(newest)

    def _step_ns(self, gap_ns: int) -> int:
        """A decoding step of this batch."""
        return round(gap_ns * (1 + self.capacity.slowdown * (len(self._running) - 1)))

    def _needed(self, delivery: Delivery) -> int:
        return delivery.tokens + delivery.step + 1  # the token that is computed next needs room too

    def _fits(self, tokens: int) -> bool:
        capacity = self.capacity
        if capacity.running is not None and len(self._running) >= capacity.running:
            return False
        # a request that is larger than the whole cache runs alone rather than never
        return capacity.kv_tokens is None or not self._running or self.kv_used + tokens <= capacity.kv_tokens

    def _forget_blocks(self) -> None:
        limit = (self.capacity.kv_tokens or 1_000_000) // self.capacity.block
        while len(self._cached) > limit:
            self._cached.popitem(last=False)
