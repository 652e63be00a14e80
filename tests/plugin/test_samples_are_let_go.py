"""What pytest keeps to the end of a session, its items and reports, holds no samples."""

from __future__ import annotations

TESTS = """
from pytest_llmperf import llm_load

@llm_slo(p95_ms=5000, warmup=0, iterations=1, max_iterations=1)
def test_alone(llm_timer):
    with llm_timer("step"):
        pass

@llm_slo(p95_ms=5000, warmup=0)
@llm_load(users=1, shared_iterations=2)
def test_under_load(llm_timer):
    with llm_timer("step"):
        pass

@llm_slo(p95_ms=5000, warmup=0)
@llm_load(mix="both", users=1, shared_iterations=2)
def test_in_a_mix(llm_timer):
    with llm_timer("step"):
        pass
"""

COUNT = """
import gc

def pytest_terminal_summary(terminalreporter):
    from pytest_llmperf.measuring import Measuring

    gc.collect()
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    held = sum(isinstance(one, Measuring) for one in gc.get_objects())
    carried = sum(hasattr(report, "llmperf") for report in reports)
    print(f"{held} measurings and {carried} texts are held")
"""


def test_nothing_that_pytest_keeps_holds_samples(project):
    project.test(TESTS)
    project.write("counting.py", COUNT)
    session = project.run_apart("--llm-gate=off", plugins=("llmperf", "counting"))
    assert session.outcomes() == {"passed": 3}
    session.result.stdout.fnmatch_lines("0 measurings and 0 texts are held")
