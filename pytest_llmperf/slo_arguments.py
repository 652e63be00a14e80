"""The arguments of the markers for type checkers and editors: a test keeps them equal to the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict


class LoadArguments(TypedDict, total=False):
    """What ``@llm_load`` takes. Durations are text such as ``"30s"``, or seconds."""

    users: int
    spawn_rate: float
    duration: str | float
    iterations: int
    shared_iterations: int
    rate: float
    arrivals: Literal["constant", "poisson"]
    stages: Sequence[tuple[str | float, float]]
    replay: str | Sequence[float]
    think_time: str | float
    max_concurrency: int
    graceful_stop: str | float
    abort_on: Mapping[str, float | str]
    mix: str
    weight: float


class SloArguments(TypedDict, total=False):
    """What ``@llm_slo`` takes."""

    scenario: str
    role: str
    iterations: int
    warmup: int
    max_iterations: int
    max_regression: float | str
    gate: Sequence[str]
    cases: str | Sequence[Any]
    cache: Literal["as-is", "cold", "warm", "both"]
    max_cost_usd: float
    accuracy: Mapping[str, float | str]
    steps: Mapping[str, Mapping[str, float | str]]
    p50_ns: float
    latency_p50_ns: float
    p50_us: float
    latency_p50_us: float
    p50_ms: float
    latency_p50_ms: float
    p50_s: float
    latency_p50_s: float
    p75_ns: float
    latency_p75_ns: float
    p75_us: float
    latency_p75_us: float
    p75_ms: float
    latency_p75_ms: float
    p75_s: float
    latency_p75_s: float
    p90_ns: float
    latency_p90_ns: float
    p90_us: float
    latency_p90_us: float
    p90_ms: float
    latency_p90_ms: float
    p90_s: float
    latency_p90_s: float
    p95_ns: float
    latency_p95_ns: float
    p95_us: float
    latency_p95_us: float
    p95_ms: float
    latency_p95_ms: float
    p95_s: float
    latency_p95_s: float
    p99_ns: float
    latency_p99_ns: float
    p99_us: float
    latency_p99_us: float
    p99_ms: float
    latency_p99_ms: float
    p99_s: float
    latency_p99_s: float
    p999_ns: float
    latency_p999_ns: float
    p999_us: float
    latency_p999_us: float
    p999_ms: float
    latency_p999_ms: float
    p999_s: float
    latency_p999_s: float
    mean_ns: float
    latency_mean_ns: float
    mean_us: float
    latency_mean_us: float
    mean_ms: float
    latency_mean_ms: float
    mean_s: float
    latency_mean_s: float
    max_ns: float
    latency_max_ns: float
    max_us: float
    latency_max_us: float
    max_ms: float
    latency_max_ms: float
    max_s: float
    latency_max_s: float
    ttft_p50_ns: float
    ttft_p50_us: float
    ttft_p50_ms: float
    ttft_p50_s: float
    ttft_p75_ns: float
    ttft_p75_us: float
    ttft_p75_ms: float
    ttft_p75_s: float
    ttft_p90_ns: float
    ttft_p90_us: float
    ttft_p90_ms: float
    ttft_p90_s: float
    ttft_p95_ns: float
    ttft_p95_us: float
    ttft_p95_ms: float
    ttft_p95_s: float
    ttft_p99_ns: float
    ttft_p99_us: float
    ttft_p99_ms: float
    ttft_p99_s: float
    ttft_p999_ns: float
    ttft_p999_us: float
    ttft_p999_ms: float
    ttft_p999_s: float
    ttft_mean_ns: float
    ttft_mean_us: float
    ttft_mean_ms: float
    ttft_mean_s: float
    ttft_max_ns: float
    ttft_max_us: float
    ttft_max_ms: float
    ttft_max_s: float
    itl_p50_ns: float
    itl_p50_us: float
    itl_p50_ms: float
    itl_p50_s: float
    itl_p75_ns: float
    itl_p75_us: float
    itl_p75_ms: float
    itl_p75_s: float
    itl_p90_ns: float
    itl_p90_us: float
    itl_p90_ms: float
    itl_p90_s: float
    itl_p95_ns: float
    itl_p95_us: float
    itl_p95_ms: float
    itl_p95_s: float
    itl_p99_ns: float
    itl_p99_us: float
    itl_p99_ms: float
    itl_p99_s: float
    itl_p999_ns: float
    itl_p999_us: float
    itl_p999_ms: float
    itl_p999_s: float
    itl_mean_ns: float
    itl_mean_us: float
    itl_mean_ms: float
    itl_mean_s: float
    itl_max_ns: float
    itl_max_us: float
    itl_max_ms: float
    itl_max_s: float
    tpot_p50_ns: float
    tpot_p50_us: float
    tpot_p50_ms: float
    tpot_p50_s: float
    tpot_p75_ns: float
    tpot_p75_us: float
    tpot_p75_ms: float
    tpot_p75_s: float
    tpot_p90_ns: float
    tpot_p90_us: float
    tpot_p90_ms: float
    tpot_p90_s: float
    tpot_p95_ns: float
    tpot_p95_us: float
    tpot_p95_ms: float
    tpot_p95_s: float
    tpot_p99_ns: float
    tpot_p99_us: float
    tpot_p99_ms: float
    tpot_p99_s: float
    tpot_p999_ns: float
    tpot_p999_us: float
    tpot_p999_ms: float
    tpot_p999_s: float
    tpot_mean_ns: float
    tpot_mean_us: float
    tpot_mean_ms: float
    tpot_mean_s: float
    tpot_max_ns: float
    tpot_max_us: float
    tpot_max_ms: float
    tpot_max_s: float
    task_p50_ns: float
    task_p50_us: float
    task_p50_ms: float
    task_p50_s: float
    task_p75_ns: float
    task_p75_us: float
    task_p75_ms: float
    task_p75_s: float
    task_p90_ns: float
    task_p90_us: float
    task_p90_ms: float
    task_p90_s: float
    task_p95_ns: float
    task_p95_us: float
    task_p95_ms: float
    task_p95_s: float
    task_p99_ns: float
    task_p99_us: float
    task_p99_ms: float
    task_p99_s: float
    task_p999_ns: float
    task_p999_us: float
    task_p999_ms: float
    task_p999_s: float
    task_mean_ns: float
    task_mean_us: float
    task_mean_ms: float
    task_mean_s: float
    task_max_ns: float
    task_max_us: float
    task_max_ms: float
    task_max_s: float
    success_rate: float | str
    pass_rate: float | str
    json_valid: float | str
    goodput: float | str
    tokens_per_s: float
    requests_per_s: float
    cache_hit_rate: float | str
    input_tokens: float
    output_tokens: float
    total_tokens: float
    cost_usd: float
    rss_mb: float
    cpu_percent: float
    gpu_memory_mb: float
    gpu_percent: float
    gpu_percent_min: float
