"""Sums over the requests that a server has answered, for its ``/metrics``."""

from __future__ import annotations

from time import time
from typing import NamedTuple

from pytest_llmperf.mock.histogram import (
    COUNTS,
    ITL_S,
    PREEMPTIONS,
    REQUEST_S,
    STEP_TOKENS,
    TTFT_S,
    Histogram,
    token_bounds,
)

_KEPT = 4096  # finished sequences that wait to be counted
REASONS = ("stop", "length", "abort", "error", "repetition")


class Finished(NamedTuple):
    """One request that was answered, or that its client left; times in nanoseconds."""

    reason: str  #: stop, length, abort
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int
    queue_ns: int  #: until it left the waiting queue
    prefill_ns: int  #: from then to the first token
    decode_ns: int  #: from the first token to the last
    max_tokens: int = 0  #: that each of its sequences was allowed
    n: int = 1  #: answers that it asked for
    sequences: int = 1  #: that were generated: so many for each of its prompts


class Totals:
    """What has been counted; every member is a sum over all sequences."""

    __slots__ = (
        "cached_tokens", "computed", "decode", "e2e", "inference", "itl", "longest", "max_tokens",
        "most_output", "n", "output", "output_tokens", "preempted", "prefill", "prompt", "prompt_tokens",
        "queue", "reasons", "steps", "tpot", "ttft",
    )  # fmt: skip

    def __init__(self, max_model_len: int) -> None:
        tokens = token_bounds(max_model_len)
        self.prompt_tokens = 0
        self.output_tokens = 0
        self.cached_tokens = 0
        self.longest = 0  #: tokens of the longest sequence, prompt and answer
        self.reasons = dict.fromkeys(REASONS, 0)
        self.ttft = Histogram(TTFT_S)
        self.itl = Histogram(ITL_S)
        self.tpot = Histogram(ITL_S)
        self.e2e = Histogram(REQUEST_S)
        self.queue = Histogram(REQUEST_S)
        self.inference = Histogram(REQUEST_S)
        self.prefill = Histogram(REQUEST_S)
        self.decode = Histogram(REQUEST_S)
        self.prompt = Histogram(tokens)
        self.output = Histogram(tokens)
        self.computed = Histogram(tokens)  #: prompt tokens that no cache had
        self.max_tokens = Histogram(tokens)
        self.most_output = Histogram(tokens)  #: of a request, the longest sequence
        self.n = Histogram(COUNTS)
        self.preempted = Histogram(PREEMPTIONS)
        self.steps = Histogram(STEP_TOKENS)  #: tokens in one step of the engine, as if none shared one

    @property
    def requests(self) -> int:
        """Sequences."""
        return self.ttft.count

    def count(self, one: Finished, times: int) -> None:
        """Add *one*, which happened so often; each of its sequences counts, as engines count them."""
        queue_s, prefill_s, decode_s = one.queue_ns / 1e9, one.prefill_ns / 1e9, one.decode_ns / 1e9
        sequences, requests = one.sequences * times, times
        prompts = max(1, one.sequences // one.n)
        prompt, cached = one.prompt_tokens // prompts, one.cached_tokens // prompts
        output = one.output_tokens / one.sequences
        gaps = round(output) - 1
        per_token_s = decode_s / gaps if gaps > 0 else 0.0
        self.reasons[one.reason] += sequences
        self.longest = max(self.longest, prompt + round(output))
        self.prompt_tokens += one.prompt_tokens * one.n * times
        self.cached_tokens += one.cached_tokens * one.n * times
        self.output_tokens += one.output_tokens * times
        if gaps > 0:
            self.itl.add(per_token_s, gaps * sequences)
            self.steps.add(1.0, gaps * sequences)
        for histogram, value in (
            (self.ttft, queue_s + prefill_s),
            (self.tpot, per_token_s),
            (self.e2e, queue_s + prefill_s + decode_s),
            (self.queue, queue_s),
            (self.inference, prefill_s + decode_s),
            (self.prefill, prefill_s),
            (self.decode, decode_s),
            (self.prompt, float(prompt)),
            (self.output, output),
            (self.computed, float(prompt - cached)),
            (self.max_tokens, float(one.max_tokens)),
            (self.preempted, 0.0),
            (self.steps, float(prompt - cached + 1)),
        ):
            histogram.add(value, sequences)
        self.most_output.add(output, requests)
        self.n.add(float(one.n), requests)


class Metrics:
    """The totals since the start.

    Counting is put off until somebody asks, and what ended alike is counted once: under load, many do.
    """

    __slots__ = ("_pending", "_totals", "created_s")

    def __init__(self, max_model_len: int) -> None:
        self.created_s = time()
        self._pending: dict[Finished, int] = {}
        self._totals = Totals(max_model_len)

    def add(self, finished: Finished) -> None:
        """Count *finished*, later."""
        pending = self._pending
        pending[finished] = pending.get(finished, 0) + 1
        if len(pending) >= _KEPT:
            self.totals()

    def totals(self) -> Totals:
        """What has been counted so far."""
        done, self._pending = self._pending, {}
        for one, times in done.items():
            self._totals.count(one, times)
        return self._totals
