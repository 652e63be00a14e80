"""Async tests are scenarios, whoever runs their event loop."""

from __future__ import annotations

import pytest

SCENARIO = """
import asyncio

loops = set()

{mark}
@llm_slo(p95_ms=150, warmup=2, iterations=5)
async def test_chat(ask):
    await asyncio.sleep(0)
    loops.add(asyncio.get_running_loop())
    ask()

def test_loops():
    assert loops
"""

#: Without it pytest-asyncio warns.
SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")

#: The mark that the test needs, the plugins, and their options.
PLUGINS = {
    "none": ("", (), ()),
    "pytest-asyncio, strict, unmarked": ("", ("pytest_asyncio.plugin",), SCOPE),
    "pytest-asyncio, strict": ("@pytest.mark.asyncio", ("pytest_asyncio.plugin",), SCOPE),
    "pytest-asyncio, auto": ("", ("pytest_asyncio.plugin",), (*SCOPE, "-o", "asyncio_mode=auto")),
    "anyio": ("@pytest.mark.anyio", ("anyio", "backend"), ()),
    "anyio, auto": ("", ("anyio", "backend"), ("-o", "anyio_mode=auto")),
    "both": ("@pytest.mark.anyio", ("pytest_asyncio.plugin", "anyio", "backend"), SCOPE),
}


@pytest.fixture
def project(project):
    """A project where anyio runs tests on asyncio only."""
    project.write(
        "backend.py", "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    )
    project.pytester.syspathinsert()
    return project


@pytest.mark.parametrize("name", PLUGINS)
def test_an_async_test_is_measured_with_any_async_plugin(project, name):
    mark, plugins, options = PLUGINS[name]
    project.test(SCENARIO.format(mark=mark))
    session = project.run("-W", "error", *options, plugins=("llmperf", *plugins))
    assert session.outcomes() == {"passed": 2}
    assert session.n() == 5


@pytest.mark.parametrize("name", ["none", "pytest-asyncio, strict", "anyio"])
def test_a_failing_async_test_shows_the_first_failing_iteration(project, name):
    mark, plugins, options = PLUGINS[name]
    project.test(
        f"""
        import itertools
        count = itertools.count()

        {mark}
        @llm_slo(p95_ms=150, warmup=0, iterations=5)
        async def test_chat(ask):
            ask()
            answer = next(count)
            assert answer < 3, "too many"
        """
    )
    session = project.run(*options, plugins=("llmperf", *plugins))
    assert session.exit == 1
    session.result.stdout.fnmatch_lines([">*assert answer < 3*", "E*AssertionError: too many"])
    assert "pytest_llmperf/" not in session.text
    assert "asyncio/" not in session.text


def test_an_async_method_is_a_scenario(project):
    project.test(
        """
        @llm_slo(p95_ms=150, iterations=5)
        class TestChat:
            async def test_chat(self, ask):
                ask()
        """
    )
    assert project.run().n() == 5


@pytest.mark.parametrize("name", ["none", "pytest-asyncio, auto"])
def test_an_async_scenario_gets_its_cases(project, name):
    project.test(
        """
        asked = []

        @llm_slo(p95_ms=150, warmup=0, iterations=6, cases=["a", "b", "c"])
        async def test_chat(ask, llm_case):
            asked.append(llm_case)
            ask()

        def test_cases():
            assert len(asked) == 6
            assert set(asked) == {"a", "b", "c"}
        """
    )
    _, plugins, options = PLUGINS[name]
    assert project.run(*options, plugins=("llmperf", *plugins)).outcomes() == {"passed": 2}
