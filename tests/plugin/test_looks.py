"""A scenario takes as many samples as its verdict needs."""

from __future__ import annotations

#: {median} is an expression of ``number``, the iteration's.
SCENARIO = """
import itertools
count = itertools.count()

@llm_slo(warmup=0, {limits})
def test_router(ask, noisy):
    number = next(count)
    ask(noisy({median}))
"""


def write(project, median="0.1", *, limits="p95_ms=150"):
    project.test(SCENARIO.format(median=median, limits=limits))


def test_a_limit_that_is_plainly_kept_takes_the_first_look(project):
    write(project)
    assert project.run().n() == 30


def test_a_limit_that_is_plainly_broken_takes_the_first_look(project):
    write(project, "0.2")
    session = project.run()
    assert session.n() == 30
    assert session.exit == 1


def test_an_undecided_limit_takes_more_looks_up_to_the_cap(project):
    write(project, "0.1 if number % 20 else 0.16")
    session = project.run("--llm-max-iterations=240")
    assert session.n() > 30


def test_unchanged_code_is_settled_before_the_cap(project):
    write(project, limits="")
    project.run("--save-baseline")
    session = project.run()
    assert session.scenario()["outcome"] == "passed"
    assert session.n() < 480


def test_a_doubtful_comparison_goes_to_the_cap(project):
    write(project, limits="")
    project.run("--save-baseline")
    write(project, "0.11", limits="")
    session = project.run("--llm-max-iterations=120")
    assert session.n() == 120


def test_p99_raises_the_first_look_and_says_so(project):
    write(project, limits="p99_ms=150")
    session = project.run()
    assert session.n() == 100
    assert "first look raised from 30 to 100 samples, which p99 needs" in session.text


def test_max_iterations_caps_the_first_look_on_the_command_line(project):
    write(project)
    assert project.run("--llm-max-iterations=10").n() == 10


def test_a_spent_budget_ends_undecided_scenarios_at_their_first_look(project):
    write(project, limits="")
    project.run("--save-baseline")
    write(project, "0.11", limits="")
    session = project.run("--llm-max-time=1ms")
    assert session.n() == 30
    assert session.scenario()["stopped"] == "--llm-max-time is spent"
    assert "--llm-max-time is spent" in session.text
    assert session.exit == 0


def test_the_start_says_how_many_scenarios_there_are_and_how_long_they_take(project):
    write(project)
    project.test(
        "@llm_slo(p95_ms=2000, iterations=10, warmup=0)\ndef test_chat(ask):\n    ask()\n", "test_b.py"
    )
    session = project.run()
    line = session.line("llm performance: 2 scenarios on mock, about ")
    assert ", at most " in line


def test_cold_prompts_beside_warm_ones_take_their_time_too(project):
    project.test(
        '@llm_slo(p95_ms=2000, iterations=10, max_iterations=10, warmup=0, cache="both")\n'
        "def test_chat(ask):\n    ask()\n"
    )
    assert project.run().line("llm performance: 1 scenario on mock, about 10 s")


def test_no_scenario_says_nothing_at_the_start(project):
    project.test("def test_plain():\n    pass\n")
    assert "llm performance" not in project.run().text
