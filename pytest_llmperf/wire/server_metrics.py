"""What model servers count on ``/metrics``, by their names and by ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_llmperf.core.server_view import Counters
from pytest_llmperf.wire.prometheus import sums


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """One server's names for the fields of ServerView; what it does not count is left out."""

    counts: Mapping[str, tuple[str, ...]]  #: names whose values are added
    times: Mapping[str, str] = field(default_factory=dict)  #: of histograms, without _sum and _count
    in_flight: tuple[str, ...]  #: gauges whose values are added


#: By what the server is called. vLLM's and llama.cpp's names are as recorded from the servers, SGLang's
#: and TGI's as their manuals have them.
SERVERS = {
    "vllm": _Names(
        counts={
            "requests": ("vllm:request_success_total",),
            "prompt_tokens": ("vllm:prompt_tokens_total",),
            "output_tokens": ("vllm:generation_tokens_total",),
            "cache_queries": ("vllm:prefix_cache_queries_total",),
            "cache_hits": ("vllm:prefix_cache_hits_total",),
            "preemptions": ("vllm:num_preemptions_total",),
        },
        times={
            "queue": "vllm:request_queue_time_seconds",
            "prefill": "vllm:request_prefill_time_seconds",
            "decode": "vllm:request_decode_time_seconds",
            "ttft": "vllm:time_to_first_token_seconds",
            "e2e": "vllm:e2e_request_latency_seconds",
        },
        in_flight=("vllm:num_requests_running", "vllm:num_requests_waiting"),
    ),
    "llama.cpp": _Names(  # which tells prefill and decode in every answer, and counts no requests here
        counts={
            "prompt_tokens": ("llamacpp:prompt_tokens_total", "llamacpp:prompt_tokens_cached_total"),
            "output_tokens": ("llamacpp:tokens_predicted_total",),
            "cache_queries": ("llamacpp:prompt_tokens_total", "llamacpp:prompt_tokens_cached_total"),
            "cache_hits": ("llamacpp:prompt_tokens_cached_total",),
        },
        in_flight=("llamacpp:requests_processing", "llamacpp:requests_deferred"),
    ),
    "sglang": _Names(
        counts={
            "requests": ("sglang:num_requests_total",),
            "prompt_tokens": ("sglang:prompt_tokens_total",),
            "output_tokens": ("sglang:generation_tokens_total",),
            "cache_queries": ("sglang:prompt_tokens_total",),
            "cache_hits": ("sglang:cached_tokens_total",),
        },
        times={
            "queue": "sglang:queue_time_seconds",
            "ttft": "sglang:time_to_first_token_seconds",
            "e2e": "sglang:e2e_request_latency_seconds",
        },
        in_flight=("sglang:num_running_reqs", "sglang:num_queue_reqs"),
    ),
    "tgi": _Names(
        counts={"requests": ("tgi_request_success",)},
        times={"queue": "tgi_request_queue_duration", "e2e": "tgi_request_duration"},
        in_flight=("tgi_batch_current_size", "tgi_queue_size"),
    ),
}


def read(text: str) -> Counters | None:
    """The counters on the page *text*; None where no server that is known has written it."""
    values = sums(text)
    for server, names in SERVERS.items():
        totals = {
            name: sum(values[one] for one in theirs)
            for name, theirs in names.counts.items()
            if all(one in values for one in theirs)
        }
        for name, histogram in names.times.items():
            if f"{histogram}_sum" in values and f"{histogram}_count" in values:
                totals[name] = values[f"{histogram}_sum"]
                totals[f"{name} count"] = values[f"{histogram}_count"]
        if totals:
            in_flight = round(sum(values.get(gauge, 0.0) for gauge in names.in_flight))
            return Counters(source=f"{server} /metrics", totals=totals, in_flight=in_flight)
    return None
