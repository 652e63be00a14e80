"""Every iteration gets a case, and named checks count without failing it."""

from __future__ import annotations

import pytest

ASKED = """
asked = []

@llm_slo(p95_ms=150, warmup=0, iterations=8, cases={cases})
def test_router(ask, llm_case):
    asked.append(llm_case)
    ask()

def test_cases():
    print("asked:", asked)
"""


def asked(session) -> list:
    """The cases of every iteration in order."""
    return eval(session.line("asked: [").partition("asked: ")[2])


def test_cases_of_a_list_come_once_each_in_random_order_then_again(project):
    project.test(ASKED.format(cases=["a", "b", "c", "d"]))
    cases = asked(project.run("-s"))
    assert sorted(cases) == sorted("abcd" * 2)
    assert cases != list("abcd" * 2)


def test_the_order_of_cases_is_the_seed_s(project):
    project.test(ASKED.format(cases=list("abcdefgh")))
    orders = [asked(project.run("-s", f"--llm-seed={seed}")) for seed in (1, 1, 2)]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cases.yaml", "- {prompt: merhaba}\n- {prompt: iyi günler}\n"),
        ("cases.json", '[{"prompt": "merhaba"}, {"prompt": "iyi günler"}]'),
        ("cases.jsonl", '{"prompt": "merhaba"}\n\n{"prompt": "iyi günler"}\n'),
        ("cases.csv", "prompt\nmerhaba\niyi günler\n"),
    ],
)
def test_cases_are_read_from_a_file_beside_the_test(project, name, text):
    project.write(f"sub/{name}", text)
    project.test(ASKED.format(cases=f'"{name}"'), "sub/test_router.py")
    session = project.run("-s")
    assert {case["prompt"] for case in asked(session)} == {"merhaba", "iyi günler"}


def test_a_file_of_cases_that_cannot_be_read_is_named(project):
    project.write("cases.json", '[{"prompt": ')
    project.test(ASKED.format(cases='"cases.json"'))
    session = project.run()
    assert session.exit == 1
    assert "cases.json: cases cannot be read" in session.text
    assert "pytest_llmperf/" not in session.text


def test_cases_without_llm_case_are_a_collection_error(project):
    project.test(
        """
        @llm_slo(p95_ms=150, cases=["a", "b"])
        def test_router(ask):
            ask()
        """
    )
    session = project.run()
    assert session.exit == 2
    assert "cases: the test never takes one. Name the fixture llm_case" in session.text


def test_cases_taken_by_a_fixture_alone_are_a_collection_error(project):
    """It is set up once: every iteration would get the same case."""
    project.test(
        """
        @pytest.fixture
        def prompt(llm_case):
            return llm_case

        @llm_slo(p95_ms=150, cases=["a", "b"])
        def test_router(ask, prompt):
            ask()
        """
    )
    session = project.run()
    assert session.exit == 2
    assert "cases: the test never takes one. Name the fixture llm_case" in session.text


def test_llm_case_without_cases_fails_with_what_to_write(project):
    project.test(
        """
        @llm_slo(p95_ms=150)
        def test_router(ask, llm_case):
            ask()

        def test_plain(llm_case):
            pass
        """
    )
    session = project.run()
    assert session.outcomes() == {"errors": 2}
    assert "llm_case needs @llm_slo(cases=[...])" in session.text


CHECKS = """
from pytest_llmperf.core.iteration import NamedCheck
from pytest_llmperf.items import log_of

CASES = [dict(sector=s, right=r) for s, r in [("finance", False), ("finance", True), ("travel", True)]]

@pytest.fixture
def check(request):
    def check(name, passed, label=None):
        log_of(request.node).check(NamedCheck(name=name, passed=passed, label=label))
    return check

@llm_slo(p95_ms=150, warmup=0, iterations=30, max_iterations=30, cases=CASES, accuracy={accuracy})
def test_router(ask, check, llm_case):
    ask()
    check("route", llm_case["right"], label=llm_case["sector"])
"""


def test_a_named_check_below_its_accuracy_fails_the_test_and_not_the_iteration(project):
    project.test(CHECKS.format(accuracy={"route": 0.95}))
    session = project.run()
    assert session.exit == 1
    assert "accuracy:route 66.7 % < 95 %" in session.text
    assert session.scenario()["proportions"]["pass_rate"] == {"successes": 30, "trials": 30}


def test_a_named_check_above_its_accuracy_passes_and_is_shown_per_label(project):
    project.test(CHECKS.format(accuracy={"route": 0.5}))
    session = project.run()
    assert session.exit == 0
    assert "route 66.7 % (20 of 30): finance 50 % (10 of 20), travel 100 % (10 of 10)" in session.text


def test_a_promised_check_that_never_ran_fails_the_test(project):
    project.test(CHECKS.format(accuracy={"route": 0.5, "intent": 0.9}))
    session = project.run()
    assert session.exit == 1
    assert "llm.check('intent', ...) never ran" in session.text


def test_cases_that_a_parameter_s_mark_brings_and_nobody_takes_fail_its_test(project):
    project.test(
        """
        cases = pytest.param(2, marks=llm_slo(cases=["a", "b"]))

        @pytest.mark.parametrize("number", [1, cases])
        @llm_slo(p95_ms=150, iterations=5)
        def test_router(ask, number):
            ask()
        """
    )
    session = project.run()
    assert session.outcomes() == {"passed": 1, "failed": 1}
    assert "cases: the test never takes one. Name the fixture llm_case" in session.text
    assert "pytest_llmperf/" not in session.text
