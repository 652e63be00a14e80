"""What a type checker accepts. Checked by test_typing.py, never run."""

from __future__ import annotations

from pytest_llmperf import llm_slo


@llm_slo(p95_ms=150, json_valid=0.98)
def test_numbers() -> None: ...


@llm_slo(ttft_p95_ms=300.5, pass_rate="95%", max_regression="10%", cache_hit_rate=0.4)
def test_shares() -> None: ...


@llm_slo(cases=["a", {"b": 1}], accuracy={"route": 0.95, "intent": "90%"}, gate=["p95_ms"])
async def test_cases() -> None: ...


@llm_slo(rss_mb=600, steps={"submit": {"p95_ms": 20, "success_rate": "99%"}, "job": {"max_s": 3.5}})
def test_steps() -> None: ...


@llm_slo(cases="router.yaml", scenario="router", role="router", iterations=40, warmup=0, max_iterations=960)
def test_names() -> None: ...


class TestGroup:
    @llm_slo(task_p50_s=1, cost_usd=0.002, output_tokens=128, tokens_per_s=50)
    def test_method(self) -> None: ...


pytestmark = [llm_slo(warmup=1)]
