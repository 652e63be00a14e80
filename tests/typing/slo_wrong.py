"""What a type checker refuses: one error on each line marked so. Checked by test_typing.py, never run."""

from __future__ import annotations

from pytest_llmperf import llm_slo

llm_slo(p95_mss=150)  # wrong: call-arg
llm_slo(json_vaild=0.98)  # wrong: call-arg
llm_slo("150")  # wrong: call-arg
llm_slo(p95_ms="150")  # wrong: arg-type
llm_slo(iterations=2.5)  # wrong: arg-type
llm_slo(accuracy=["route"])  # wrong: arg-type
llm_slo(gate=5)  # wrong: arg-type
llm_slo(cases=5)  # wrong: arg-type
llm_slo(role=None)  # wrong: arg-type
