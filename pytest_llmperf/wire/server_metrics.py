"""What model servers count on ``/metrics``, by their names and by ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_llmperf.core.server_view import Counters
from pytest_llmperf.wire.prometheus import sums, values


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """One server's names for the fields of ServerView; what it does not count is left out."""

    counts: Mapping[str, tuple[str, ...]]  #: names whose values are added
    times: Mapping[str, str] = field(default_factory=dict)  #: of histograms, without _sum and _count
    running: tuple[str, ...]  #: gauges, by the names of its versions; of each name the values are added
    waiting: tuple[str, ...]
    kv_cache: tuple[str, ...] = ()  #: gauges from 0 to 1; of several engines the fullest counts

    @property
    def in_flight(self) -> tuple[str, ...]:
        """Gauges whose values are added."""
        return (*self.running, *self.waiting)


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
        running=("vllm:num_requests_running",),
        waiting=("vllm:num_requests_waiting",),
        kv_cache=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),  # the latter in older versions
    ),
    "llama.cpp": _Names(  # which tells prefill and decode in every answer, and counts no requests here
        counts={
            "prompt_tokens": ("llamacpp:prompt_tokens_total", "llamacpp:prompt_tokens_cached_total"),
            "output_tokens": ("llamacpp:tokens_predicted_total",),
            "cache_queries": ("llamacpp:prompt_tokens_total", "llamacpp:prompt_tokens_cached_total"),
            "cache_hits": ("llamacpp:prompt_tokens_cached_total",),
        },
        running=("llamacpp:requests_processing",),
        waiting=("llamacpp:requests_deferred",),
        kv_cache=("llamacpp:kv_cache_usage_ratio",),  # in older versions
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
        running=("sglang:num_running_reqs",),
        waiting=("sglang:num_queue_reqs",),
        kv_cache=("sglang:token_usage",),
    ),
    "tgi": _Names(
        counts={"requests": ("tgi_request_success",)},
        times={"queue": "tgi_request_queue_duration", "e2e": "tgi_request_duration"},
        running=("tgi_batch_current_size",),
        waiting=("tgi_queue_size",),
    ),
}


def read(text: str) -> Counters | None:
    """The counters on the page *text*; None where no server that is known has written it."""
    told = sums(text)
    for server, names in SERVERS.items():
        totals = {
            name: sum(told[one] for one in theirs)
            for name, theirs in names.counts.items()
            if all(one in told for one in theirs)
        }
        for name, histogram in names.times.items():
            if f"{histogram}_sum" in told and f"{histogram}_count" in told:
                totals[name] = told[f"{histogram}_sum"]
                totals[f"{name} count"] = told[f"{histogram}_count"]
        if totals:
            in_flight = round(sum(told.get(gauge, 0.0) for gauge in names.in_flight))
            return Counters(source=f"{server} /metrics", totals=totals, in_flight=in_flight)
    return None


def gauges(text: str) -> dict[str, float]:
    """How busy the server is by the page *text*, by the names of `core.resources.GAUGES`.

    Empty where no server that is known has written it; what the server does not tell is left out.
    """
    for names in SERVERS.values():
        told = values(text, (*names.in_flight, *names.kv_cache))
        kinds = {
            "server_running": [sum(told[name]) for name in names.running if name in told],
            "server_waiting": [sum(told[name]) for name in names.waiting if name in told],
            "kv_cache_percent": [100 * max(told[name]) for name in names.kv_cache if name in told],
        }
        if told:
            return {kind: max(0.0, found[0]) for kind, found in kinds.items() if found}
    return {}


def gauges_alone(text: str) -> str | None:
    """The path for the gauges alone of the server that wrote the page *text*; None where there may be none.

    Behind a slash vLLM has Prometheus' own client, which leaves out what it is not asked for: a hundredth of
    the page, and half of the time that the server needs for it, in which it sends no tokens.
    """
    names = SERVERS["vllm"]
    if not values(text, names.in_flight):
        return None
    asked = "&".join(f"name[]={name}" for name in (*names.in_flight, *names.kv_cache))
    return f"/metrics/?{asked}"
