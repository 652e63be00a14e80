"""vLLM's ``/metrics``: every family that vLLM 0.32 shows of its engine, in its order and its words.

What it shows of the Python process that it runs in (python_*, process_*, http_*) is left out.
"""

# ruff: noqa: E501 - help texts as vLLM writes them

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from pytest_llmperf.mock.engine import KV_TOKENS
from pytest_llmperf.mock.facts import Facts
from pytest_llmperf.mock.histogram import Histogram
from pytest_llmperf.mock.metrics import Totals

Rows = Iterable[tuple[str, float]]  #: labels beside engine and model_name, and the value

_CONFIG: dict[str, str] = {
    "_block_size_resolved": "True", "block_size": "16", "cache_dtype": "auto", "cache_hit_alignment_tokens": "None",
    "effective_attention_block_size": "16", "enable_mamba_shared_prefix_checkpoint": "False",
    "enable_prefix_caching": "True", "engine": "0", "gpu_memory_utilization": "0.92", "hash_block_size": "None",
    "is_attention_free": "False", "kv_cache_dtype_skip_layers": "[]", "kv_cache_layout": "None",
    "kv_cache_max_concurrency": "256.0", "kv_cache_memory_bytes": "1073741824", "kv_cache_size_tokens": str(KV_TOKENS),
    "kv_offloading_backend": "native", "kv_offloading_size": "None", "kv_sharing_fast_prefill": "False",
    "mamba_block_size": "None", "mamba_cache_dtype": "auto", "mamba_cache_mode": "none",
    "mamba_page_size_padded": "None", "mamba_ssm_cache_dtype": "float32", "num_cpu_blocks": "None",
    "num_gpu_blocks": "65536", "num_gpu_blocks_override": "None", "prefix_cache_retention_interval": "0",
    "prefix_caching_hash_algo": "sha256", "prefix_match_unit": "None", "replayssm_buffer_len": "16",
    "skip_page_size_padded": "None", "sliding_window": "None", "swa_bounded_replay": "True",
    "use_kda_recoverssm": "False", "use_replayssm": "False", "user_specified_block_size": "False",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Family:
    """Samples of one name."""

    name: str
    help: str
    kind: str  #: gauge or counter
    rows: Callable[[Facts, Totals], Rows]
    label: str = ""  #: that the rows differ by
    engine: bool = True  #: has the label engine


@dataclass(frozen=True, slots=True)
class _Distribution:
    """A histogram."""

    name: str
    help: str
    of: Callable[[Totals], Histogram]


def _one(value: Callable[[Facts, Totals], float]) -> Callable[[Facts, Totals], Rows]:
    return lambda facts, totals: [("", value(facts, totals))]


def _zero(_facts: Facts, _totals: Totals) -> Rows:
    return [("", 0)]


def _fixed(**values: float) -> Callable[[Facts, Totals], Rows]:
    return lambda _facts, _totals: values.items()


_FLOPS = "(for Model Flops Utilization calculations)."
_PAGE: tuple[_Family | _Distribution, ...] = (
    _Family("estimated_flops_per_gpu", f"Estimated number of floating point operations per GPU {_FLOPS}", "counter", _zero),
    _Family("estimated_read_bytes_per_gpu", f"Estimated number of bytes read from memory per GPU {_FLOPS}", "counter", _zero),
    _Family("estimated_write_bytes_per_gpu", f"Estimated number of bytes written to memory per GPU {_FLOPS}", "counter", _zero),
    _Family("num_requests_running", "Number of requests in model execution batches.", "gauge", _one(lambda facts, _: facts.running)),
    _Family("num_requests_waiting", "Number of requests waiting to be processed.", "gauge", _one(lambda facts, _: facts.waiting)),
    _Family("num_requests_waiting_by_reason", "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; 'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). Sum of all reasons equals vllm:num_requests_waiting.", "gauge",
            lambda facts, _: [("capacity", facts.waiting), ("deferred", 0)], label="reason"),
    _Family("engine_sleep_state", "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2.", "gauge",
            _fixed(awake=1, weights_offloaded=0, discard_all=0), label="sleep_state"),
    _Family("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", "gauge", _one(lambda facts, _: facts.kv_usage)),
    _Family("prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens.", "counter", _one(lambda facts, _: facts.cache_queries)),
    _Family("prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.", "counter", _one(lambda facts, _: facts.cache_hits)),
    _Family("external_prefix_cache_queries", "External prefix cache queries from KV connector cross-instance cache sharing, in terms of number of queried tokens.", "counter", _zero),
    _Family("external_prefix_cache_hits", "External prefix cache hits from KV connector cross-instance cache sharing, in terms of number of cached tokens.", "counter", _zero),
    _Family("mm_cache_queries", "Multi-modal cache queries, in terms of number of queried items.", "counter", _zero),
    _Family("mm_cache_hits", "Multi-modal cache hits, in terms of number of cached items.", "counter", _zero),
    _Family("num_preemptions", "Cumulative number of preemption from the engine.", "counter", _one(lambda facts, _: facts.preemptions)),
    _Family("prompt_tokens", "Number of prefill tokens processed.", "counter", _one(lambda _, totals: totals.prompt_tokens)),
    _Family("prompt_tokens_by_source", "Number of prompt tokens by source.", "counter",
            lambda _, totals: [("local_compute", totals.prompt_tokens - totals.cached_tokens), ("local_cache_hit", totals.cached_tokens), ("external_kv_transfer", 0)], label="source"),
    _Family("prompt_tokens_cached", "Number of cached prompt tokens (local + external).", "counter", _one(lambda _, totals: totals.cached_tokens)),
    _Family("prompt_tokens_cached_by_source", "Prefix-cache hit tokens by the cache tier that supplied them: device (local HBM), host (offloaded to DRAM), disk, p2p (transferred from another vLLM instance) or external_unspecified. Counted at admission; sums to vllm:prefix_cache_hits + vllm:external_prefix_cache_hits.", "counter",
            lambda facts, _: [("device", facts.cache_hits), ("host", 0), ("p2p", 0), ("disk", 0), ("external_unspecified", 0)], label="source"),
    _Family("generation_tokens", "Number of generation tokens processed.", "counter", _one(lambda _, totals: totals.output_tokens)),
    _Family("request_success", "Count of successfully processed requests.", "counter", lambda _, totals: totals.reasons.items(), label="finished_reason"),
    _Family("admission_rejections", "Number of admission attempts rejected by a queue limit, by reason.", "counter",
            lambda facts, _: [("max_num_queued_reqs", facts.rejected), ("max_num_queued_tokens", 0)], label="reason", engine=False),
    _Distribution("request_prompt_tokens", "Number of prefill tokens processed.", lambda totals: totals.prompt),
    _Distribution("request_generation_tokens", "Number of generation tokens processed.", lambda totals: totals.output),
    _Distribution("iteration_tokens_total", "Histogram of number of tokens per engine_step.", lambda totals: totals.steps),
    _Distribution("request_max_num_generation_tokens", "Histogram of maximum number of requested generation tokens.", lambda totals: totals.most_output),
    _Distribution("request_params_n", "Histogram of the n request parameter.", lambda totals: totals.n),
    _Distribution("request_params_max_tokens", "Histogram of the max_tokens request parameter.", lambda totals: totals.max_tokens),
    _Distribution("time_to_first_token_seconds", "Histogram of time to first token in seconds.", lambda totals: totals.ttft),
    _Distribution("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", lambda totals: totals.itl),
    _Distribution("request_time_per_output_token_seconds", "Histogram of time_per_output_token_seconds per request.", lambda totals: totals.tpot),
    _Distribution("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", lambda totals: totals.e2e),
    _Distribution("request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", lambda totals: totals.queue),
    _Distribution("request_inference_time_seconds", "Histogram of time spent in RUNNING phase for request.", lambda totals: totals.inference),
    _Distribution("request_prefill_time_seconds", "Histogram of time spent in PREFILL phase for request.", lambda totals: totals.prefill),
    _Distribution("request_decode_time_seconds", "Histogram of time spent in DECODE phase for request.", lambda totals: totals.decode),
    _Distribution("request_num_preemptions", "Histogram of the number of times a request was preempted.", lambda totals: totals.preempted),
    _Distribution("request_prefill_kv_computed_tokens", "Histogram of new KV tokens computed during prefill (excluding cached tokens).", lambda totals: totals.computed),
)  # fmt: skip


def vllm_page(facts: Facts) -> bytes:
    """The whole page."""
    totals = facts.metrics.totals()
    created = repr(facts.metrics.created_s)
    name = facts.model_label
    lines: list[str] = []
    for family in _PAGE:
        if isinstance(family, _Family):
            lines += _samples(family, family.rows(facts, totals), name, created)
        else:
            lines += _histogram(family, family.of(totals), name, created)
    config = ",".join(f'{key}="{value}"' for key, value in _CONFIG.items())
    lines += _described("vllm:cache_config_info", "Information of the LLMEngine CacheConfig", "gauge")
    lines.append(f"vllm:cache_config_info{{{config}}} 1.0")
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def only(page: bytes, names: Collection[str]) -> bytes:
    """The samples of *page* with these *names*, and what is said about them."""
    kept: list[str] = []
    about: list[str] = []
    for line in page.decode().splitlines():
        if line.startswith("#"):
            about = [line] if line.startswith("# HELP") else [*about, line]
        elif line.partition("{")[0].partition(" ")[0] in names:
            kept += [*about, line]
            about = []
    return "".join(f"{line}\n" for line in kept).encode("utf-8", "replace")


def _described(name: str, text: str, kind: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _samples(family: _Family, rows: Rows, model: str, created: str) -> Iterable[str]:
    rows = [(_labels(family, one, model), value) for one, value in rows]
    name = f"vllm:{family.name}"
    if family.kind == "gauge":
        return [
            *_described(name, family.help, "gauge"),
            *(f"{name}{{{own}}} {float(value)}" for own, value in rows),
        ]
    return [
        *_described(f"{name}_total", family.help, "counter"),
        *(f"{name}_total{{{own}}} {float(value)}" for own, value in rows),
        *_described(f"{name}_created", family.help, "gauge"),
        *(f"{name}_created{{{own}}} {created}" for own, _ in rows),
    ]


def _labels(family: _Family, value: str, model: str) -> str:
    labels = {"engine": "0"} if family.engine else {}
    labels["model_name"] = model
    if family.label:
        labels[family.label] = value
    return ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))


def _histogram(family: _Distribution, histogram: Histogram, model: str, created: str) -> Iterable[str]:
    name, own = f"vllm:{family.name}", f'engine="0",model_name="{model}"'
    lines = _described(name, family.help, "histogram")
    for le, total in histogram.buckets():
        lines.append(f'{name}_bucket{{engine="0",le="{le}",model_name="{model}"}} {float(total)}')
    return [
        *lines,
        f"{name}_count{{{own}}} {float(histogram.count)}",
        f"{name}_sum{{{own}}} {histogram.sum!r}",
        *_described(f"{name}_created", family.help, "gauge"),
        f"{name}_created{{{own}}} {created}",
    ]
