"""``/metrics`` in the words of llama.cpp, SGLang and TGI; vLLM's is in `vllm_metrics.py`.

llama.cpp's page is compared with a recording; SGLang's and TGI's names follow their documentation.
"""

# ruff: noqa: E501 - help texts as the servers write them

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pytest_llmperf.mock.facts import Facts
from pytest_llmperf.mock.histogram import Histogram


class _Row(NamedTuple):
    name: str
    help: str
    kind: str
    value: float


def llamacpp_page(facts: Facts) -> bytes:
    """llama.cpp's page, in the order of its server."""
    totals = facts.metrics.totals()
    prompt_s, decode_s = totals.prefill.sum, totals.decode.sum
    computed = totals.prompt_tokens - totals.cached_tokens
    rows = (
        _Row("prompt_tokens_total", "Number of prompt tokens processed, excluding cached tokens", "counter", computed),
        _Row("prompt_tokens_cached_total", "Number of prompt tokens reused from the cache", "counter", totals.cached_tokens),
        _Row("prompt_seconds_total", "Total time spent processing prompts", "counter", prompt_s),
        _Row("tokens_predicted_total", "Number of generation tokens processed", "counter", totals.output_tokens),
        _Row("tokens_predicted_seconds_total", "Total time spent generating tokens", "counter", decode_s),
        _Row("n_decode_total", "Total number of llama_decode() calls, excluding speculative decoding and multimodal decoding", "counter", totals.output_tokens),
        _Row("n_tokens_max", "Largest observed sequence length (prompt + generation)", "counter", totals.longest),
        _Row("spec_decode_num_draft_tokens_total", "Speculative: Total draft tokens generated", "counter", 0),
        _Row("spec_decode_num_accepted_tokens_total", "Speculative: Total draft tokens accepted by the target model", "counter", 0),
        _Row("spec_decode_num_drafts_total", "Speculative: Total speculative decoding verification steps", "counter", 0),
        _Row("prompt_tokens_seconds", "Average prompt throughput in tokens/s", "gauge", computed / prompt_s if prompt_s else 0),
        _Row("predicted_tokens_seconds", "Average generation throughput in tokens/s", "gauge", totals.output_tokens / decode_s if decode_s else 0),
        _Row("requests_processing", "Number of requests processing", "gauge", facts.running),
        _Row("requests_deferred", "Number of requests deferred", "gauge", facts.waiting),
        _Row("n_busy_slots_per_decode", "Average number of busy slots per llama_decode() call", "gauge", 1 if totals.requests else 0),
    )  # fmt: skip
    return b"".join(
        f"# HELP llamacpp:{row.name} {row.help}\n# TYPE llamacpp:{row.name} {row.kind}\n"
        f"llamacpp:{row.name} {row.value:.6g}\n".encode()
        for row in rows
    )


def sglang_page(facts: Facts) -> bytes:
    """SGLang's page."""
    totals = facts.metrics.totals()
    labels = f'model_name="{facts.model_label}"'
    hit_rate = facts.cache_hits / facts.cache_queries if facts.cache_queries else 0.0
    rows = (
        _Row("num_running_reqs", "The number of running requests.", "gauge", facts.running),
        _Row("num_queue_reqs", "The number of requests in the waiting queue.", "gauge", facts.waiting),
        _Row("token_usage", "The token usage.", "gauge", facts.kv_usage),
        _Row("cache_hit_rate", "The prefix cache hit rate.", "gauge", hit_rate),
        _Row("prompt_tokens_total", "Number of prefill tokens processed.", "counter", totals.prompt_tokens),
        _Row("generation_tokens_total", "Number of generation tokens processed.", "counter", totals.output_tokens),
        _Row("cached_tokens_total", "Number of cached prompt tokens.", "counter", totals.cached_tokens),
        _Row("num_requests_total", "Number of requests processed.", "counter", totals.requests),
    )  # fmt: skip
    histograms = (
        ("time_to_first_token_seconds", "Histogram of time to first token in seconds.", totals.ttft),
        ("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", totals.itl),
        ("e2e_request_latency_seconds", "Histogram of End-to-end request latency in seconds", totals.e2e),
    )
    return _page("sglang:", labels, rows, histograms)


def tgi_page(facts: Facts) -> bytes:
    """Text Generation Inference's page."""
    totals = facts.metrics.totals()
    rows = (
        _Row("request_count", "Number of requests", "counter", totals.requests),
        _Row("request_success", "Number of successful requests", "counter", totals.requests),
        _Row("batch_current_size", "Current batch size", "gauge", facts.running),
        _Row("queue_size", "Requests in the queue", "gauge", facts.waiting),
    )
    histograms = (
        ("request_duration", "Request duration", totals.e2e),
        ("request_queue_duration", "Request queue duration", totals.queue),
        ("request_inference_duration", "Request inference duration", totals.inference),
        ("request_mean_time_per_token_duration", "Mean time per token per request", totals.tpot),
        ("request_input_length", "Input token length per request", totals.prompt),
        ("request_generated_tokens", "Generated tokens per request", totals.output),
    )
    return _page("tgi_", "", rows, histograms)


def _page(
    prefix: str, labels: str, rows: Iterable[_Row], histograms: Iterable[tuple[str, str, Histogram]]
) -> bytes:
    lines: list[str] = []
    braced = f"{{{labels}}}" if labels else ""
    for row in rows:
        name = prefix + row.name
        lines += [
            f"# HELP {name} {row.help}",
            f"# TYPE {name} {row.kind}",
            f"{name}{braced} {float(row.value)}",
        ]
    for short, text, histogram in histograms:
        name = prefix + short
        lines += [f"# HELP {name} {text}", f"# TYPE {name} histogram"]
        for le, total in histogram.buckets():
            own = f'le="{le}",{labels}' if labels else f'le="{le}"'
            lines.append(f"{name}_bucket{{{own}}} {float(total)}")
        lines += [f"{name}_count{braced} {float(histogram.count)}", f"{name}_sum{braced} {histogram.sum!r}"]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")
