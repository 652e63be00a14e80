"""What a server tells about itself on ``/metrics``, under vLLM's names."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from time import time
from typing import NamedTuple

_KEPT = 256  # kinds of finished requests that wait to be counted; to count them takes less than a millisecond

_TTFT = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
    160.0,
    640.0,
    2560.0,
)
_ITL = (
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
)
_REQUEST = (
    0.3,
    0.5,
    0.8,
    1.0,
    1.5,
    2.0,
    2.5,
    5.0,
    10.0,
    15.0,
    20.0,
    30.0,
    40.0,
    50.0,
    60.0,
    120.0,
    240.0,
    480.0,
    960.0,
    1920.0,
    7680.0,
)
_TOKENS = tuple(float(m * 10**e) for e in range(6) for m in (1, 2, 5))
_REASONS = ("stop", "length", "abort", "error", "repetition")


class Finished(NamedTuple):
    """One request that was answered, or that its client left; times in nanoseconds."""

    reason: str  #: stop, length, abort
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int
    queue_ns: int  #: until it left the waiting queue
    prefill_ns: int  #: from then to the first token
    decode_ns: int  #: from the first token to the last


class Histogram:
    """Counts of values up to each bound."""

    __slots__ = ("bounds", "count", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.count = 0
        self.sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count *value* so many times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.count += times
        self.sum += value * times

    def lines(self, name: str, labels: str) -> Iterable[str]:
        """The exposition of it."""
        total = 0
        for bound, count in zip((*self.bounds, None), self.counts, strict=True):
            total += count
            shown = "+Inf" if bound is None else repr(float(bound))
            own = labels.replace("model_name=", f'le="{shown}",model_name=', 1)
            yield f"{name}_bucket{{{own}}} {float(total)}"
        yield f"{name}_count{{{labels}}} {float(self.count)}"
        yield f"{name}_sum{{{labels}}} {self.sum!r}"


_HISTOGRAMS = (
    ("vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.", _TTFT),
    ("vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", _ITL),
    (
        "vllm:request_time_per_output_token_seconds",
        "Histogram of time_per_output_token_seconds per request.",
        _ITL,
    ),
    ("vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", _REQUEST),
    ("vllm:request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", _REQUEST),
    (
        "vllm:request_inference_time_seconds",
        "Histogram of time spent in RUNNING phase for request.",
        _REQUEST,
    ),
    ("vllm:request_prefill_time_seconds", "Histogram of time spent in PREFILL phase for request.", _REQUEST),
    ("vllm:request_decode_time_seconds", "Histogram of time spent in DECODE phase for request.", _REQUEST),
    ("vllm:request_prompt_tokens", "Number of prefill tokens processed.", _TOKENS),
    ("vllm:request_generation_tokens", "Number of generation tokens processed.", _TOKENS),
)


class Totals(NamedTuple):
    """Sums over all requests, for pages in other words than vLLM's."""

    requests: int
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int
    longest: int  #: tokens of the longest sequence, prompt and answer
    ttft: Histogram
    itl: Histogram
    tpot: Histogram
    e2e: Histogram
    queue: Histogram
    inference: Histogram
    prefill: Histogram
    decode: Histogram
    prompt: Histogram
    output: Histogram


class Metrics:
    """Sums over all requests since the start.

    Counting is put off until somebody asks, and what ended alike is counted once: under load, many do.
    """

    __slots__ = ("_created", "_histograms", "_longest", "_pending", "_reasons", "_tokens")

    def __init__(self, max_model_len: int) -> None:
        self._created = time()
        self._pending: dict[Finished, int] = {}
        self._longest = 0
        self._reasons = dict.fromkeys(_REASONS, 0)
        self._tokens = {"prompt": 0, "generation": 0, "cached": 0}
        self._histograms = {
            name: Histogram(
                [bound for bound in bounds if bound <= max_model_len] if bounds is _TOKENS else bounds
            )
            for name, _, bounds in _HISTOGRAMS
        }

    def add(self, finished: Finished) -> None:
        """Count *finished*, later."""
        pending = self._pending
        pending[finished] = pending.get(finished, 0) + 1
        if len(pending) >= _KEPT:
            self._fold()

    def totals(self) -> Totals:
        """What has been counted so far."""
        self._fold()
        histograms = list(self._histograms.values())
        return Totals(
            histograms[0].count,
            self._tokens["prompt"],
            self._tokens["generation"],
            self._tokens["cached"],
            self._longest,
            *histograms,
        )

    def render(
        self,
        *,
        model: str,
        running: int,
        waiting: int,
        kv_usage: float,
        queries: int,
        hits: int,
        rejected: int,
        preemptions: int,
    ) -> bytes:
        """The whole page."""
        self._fold()
        name = model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        labels = f'engine="0",model_name="{name}"'
        lines: list[str] = []

        def gauge(key: str, text: str, value: float) -> None:
            lines.extend((f"# HELP {key} {text}", f"# TYPE {key} gauge", f"{key}{{{labels}}} {float(value)}"))

        def counter(key: str, text: str, values: Sequence[tuple[str, float]]) -> None:
            lines.extend((f"# HELP {key}_total {text}", f"# TYPE {key}_total counter"))
            lines.extend(f"{key}_total{{{own}}} {float(value)}" for own, value in values)
            lines.extend((f"# HELP {key}_created {text}", f"# TYPE {key}_created gauge"))
            lines.extend(f"{key}_created{{{own}}} {self._created!r}" for own, _ in values)

        gauge("vllm:num_requests_running", "Number of requests in model execution batches.", running)
        gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.", waiting)
        gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", kv_usage)
        counter(
            "vllm:prefix_cache_queries",
            "Prefix cache queries, in terms of number of queried tokens.",
            [(labels, queries)],
        )
        counter(
            "vllm:prefix_cache_hits",
            "Prefix cache hits, in terms of number of cached tokens.",
            [(labels, hits)],
        )
        counter(
            "vllm:num_preemptions",
            "Cumulative number of preemption from the engine.",
            [(labels, preemptions)],
        )
        counter(
            "vllm:prompt_tokens", "Number of prefill tokens processed.", [(labels, self._tokens["prompt"])]
        )
        counter(
            "vllm:prompt_tokens_cached", "Number of cached prompt tokens.", [(labels, self._tokens["cached"])]
        )
        counter(
            "vllm:generation_tokens",
            "Number of generation tokens processed.",
            [(labels, self._tokens["generation"])],
        )
        counter(
            "vllm:request_success",
            "Count of successfully processed requests.",
            [
                (f'engine="0",finished_reason="{reason}",model_name="{name}"', count)
                for reason, count in self._reasons.items()
            ],
        )
        counter(
            "vllm:admission_rejections",
            "Requests refused because the queue is full.",
            [(f'model_name="{name}",reason="max_num_queued_reqs"', rejected)],
        )
        for key, text, _ in _HISTOGRAMS:
            lines.extend((f"# HELP {key} {text}", f"# TYPE {key} histogram"))
            lines.extend(self._histograms[key].lines(key, labels))
            lines.extend((f"# HELP {key}_created {text}", f"# TYPE {key}_created gauge"))
            lines.append(f"{key}_created{{{labels}}} {self._created!r}")
        return ("\n".join(lines) + "\n").encode("utf-8", "replace")

    def _fold(self) -> None:
        done, self._pending = self._pending, {}
        histograms = {name.partition(":")[2]: histogram for name, histogram in self._histograms.items()}
        for one, times in done.items():
            reason, prompt, output, cached, queue_ns, prefill_ns, decode_ns = one
            queue_s, prefill_s, decode_s = queue_ns / 1e9, prefill_ns / 1e9, decode_ns / 1e9
            gaps = output - 1
            per_token_s = decode_s / gaps if gaps > 0 else 0.0
            self._reasons[reason] += times
            self._longest = max(self._longest, prompt + output)
            self._tokens["prompt"] += prompt * times
            self._tokens["cached"] += cached * times
            self._tokens["generation"] += output * times
            if gaps > 0:
                histograms["inter_token_latency_seconds"].add(per_token_s, gaps * times)
            for name, value in (
                ("time_to_first_token_seconds", queue_s + prefill_s),
                ("request_time_per_output_token_seconds", per_token_s),
                ("e2e_request_latency_seconds", queue_s + prefill_s + decode_s),
                ("request_queue_time_seconds", queue_s),
                ("request_inference_time_seconds", prefill_s + decode_s),
                ("request_prefill_time_seconds", prefill_s),
                ("request_decode_time_seconds", decode_s),
                ("request_prompt_tokens", float(prompt)),
                ("request_generation_tokens", float(output)),
            ):
                histograms[name].add(value, times)
