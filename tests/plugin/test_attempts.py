"""Attempts are seen as attempts, and the user's request as one sample."""

from __future__ import annotations

import pytest_llmperf.timer  # noqa: F401 - before pytester forgets what a run imports

RETRIED = """
import itertools

import tenacity

from pytest_llmperf.client.reply import RequestFailed

turns = itertools.count(1)

@llm_slo(success_rate=0.3, steps={{"answer": {limits}}}, iterations=12, max_iterations=12, warmup=0, gate=[])
def test_answer(llm, llm_mock, llm_timer):
    llm_mock.faults()
    if times := {faults}:
        llm_mock.faults(kind="status", status=503, times=times)
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_exponential(multiplier=0.002, max=0.01),
        retry=tenacity.retry_if_exception_type(RequestFailed),
        reraise=True,
    )
    with llm_timer("answer"):
        retrying(llm.chat, "merhaba")
"""


def fast(project):
    project.write("slo.yaml", "version: 1\nmock: {latency: {ttft: 2ms, itl: 0ms}}\n")
    return project


def test_attempts_that_a_retry_made_up_for_are_one_answer(project):
    fast(project).test(RETRIED.format(limits='{"success_rate": 1.0, "p95_s": 5}', faults=2))
    session = project.run()
    assert session.exit == 0, session.text
    scenario = session.scenario()
    assert scenario["requests"]["sent"] == 36
    assert scenario["requests"]["failed"] == 24
    assert scenario["proportions"]["step:answer"] == {"successes": 12, "trials": 12}
    answers, attempts = scenario["series"]["step:answer_s"], scenario["series"]["latency_s"]
    assert len(answers) == len(attempts) == 12
    # Pauses and failed attempts are in what the user waited for, and not in the attempt that came through.
    assert all(answer > attempt + 0.005 for answer, attempt in zip(answers, attempts, strict=True))


def test_answers_that_never_came_break_the_limit_on_answers(project):
    """Although so many attempts may fail."""
    fast(project).test(RETRIED.format(limits='{"success_rate": 1.0}', faults="9 if next(turns) == 3 else 0"))
    session = project.run()
    assert session.exit == 1
    scenario = session.scenario()
    broken = [check["metric"] for check in scenario["checks"] if check["outcome"] == "failed"]
    assert broken == ["step:answer"]
    assert scenario["proportions"]["step:answer"] == {"successes": 11, "trials": 12}


def test_without_a_limit_on_answers_their_requests_count_them(project):
    fast(project).test(RETRIED.format(limits='{"p95_s": 5}', faults="9 if next(turns) == 3 else 0"))
    scenario = project.run().scenario()
    assert scenario["outcome"] == "passed"
    assert scenario["requests"]["failed"] == 3


def test_an_open_circuit_is_a_failed_answer_and_no_request(project):
    fast(project).test(
        """
        import pybreaker

        circuit = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60)

        @llm_slo(
            success_rate=0.0, steps={"answer": {"success_rate": 0.0}},
            iterations=12, max_iterations=12, warmup=0, gate=[],
        )
        def test_answer(llm, llm_mock, llm_timer):
            llm_mock.faults(kind="status", status=500)
            with llm_timer("answer"):
                circuit.call(llm.chat, "merhaba")
        """
    )
    scenario = project.run().scenario()
    assert scenario["requests"]["sent"] == 5
    assert scenario["proportions"]["step:answer"] == {"successes": 0, "trials": 12}
