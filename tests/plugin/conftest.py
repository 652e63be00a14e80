"""Projects of users, in which pytest runs on scripted measurements."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

# Everything that runs in process is imported now: pytester forgets what is imported during a run,
# and numpy can be imported only once in a process.
import pytest_llmperf.display
import pytest_llmperf.estimate
import pytest_llmperf.ledger
import pytest_llmperf.llm
import pytest_llmperf.loading.run
import pytest_llmperf.mixes.running
import pytest_llmperf.mock.process
import pytest_llmperf.reports.json
import pytest_llmperf.scenario
from pytest_llmperf.mock.process import MockServer, start_mock

#: ``ask`` records a request that never happened; ``noisy`` gives latencies as a real server has them.
SCRIPTED = '''
import itertools
import json
import random
from types import SimpleNamespace

import pytest

from pytest_llmperf.client.reply import InvalidJson, RequestFailed
from pytest_llmperf.core.exchange import Exchange, Failure, FailureKind, Tokens
from pytest_llmperf.items import log_of


@pytest.fixture
def ask(request):
    """Record one request; fail it, or read its JSON in vain."""
    clock = itertools.count(step=100)

    def ask(latency_s=0.1, *, failure=None, json_valid=None, streamed=True):
        due = next(clock)
        wrong = None if failure is None else Failure(kind=FailureKind(failure), message=f"{failure} here")
        exchange = Exchange(
            due_s=due,
            sent_s=due,
            first_token_s=due + latency_s / 2 if streamed and failure is None else None,
            done_s=due + latency_s,
            streamed=streamed,
            model="scripted",
            tokens=Tokens(input=10, output=20),
            json_valid=json_valid,
            failure=wrong,
        )
        log_of(request.node).add(exchange)
        if wrong is not None:
            raise RequestFailed(wrong, exchange)
        if json_valid is False:
            raise InvalidJson("Expecting value", SimpleNamespace(text="no", finish_reason=None))

    return ask


@pytest.fixture
def noisy():
    """Latencies around a median, the same in every run: noisy(0.1) is a number."""
    rng = random.Random(0)
    return lambda median_s, sigma=0.05: median_s * rng.lognormvariate(0, sigma)
'''


@dataclass(frozen=True)
class Session:
    """One run of pytest in a user's project."""

    result: pytest.RunResult
    report: Mapping[str, Any] | None  #: run.json

    @property
    def exit(self) -> int:
        return int(self.result.ret)

    @property
    def text(self) -> str:
        """All that the user sees."""
        return f"{self.result.stdout.str()}\n{self.result.stderr.str()}"

    def outcomes(self) -> dict[str, int]:
        """What pytest counted: passed, failed, errors ..."""
        return self.result.parseoutcomes()

    def scenario(self, name: str = "") -> dict[str, Any]:
        """The one scenario of the report, or the one called *name*."""
        assert self.report is not None, "no report was written"
        found = [one for one in self.report["scenarios"] if name in ("", one["name"])]
        assert len(found) == 1, [one["name"] for one in self.report["scenarios"]]
        return found[0]

    def n(self, name: str = "") -> int:
        """How many requests of a scenario were measured and succeeded."""
        return len(self.scenario(name)["series"]["latency_s"])

    def line(self, part: str) -> str:
        """The one line of the output that holds *part*."""
        lines = [line for line in self.text.splitlines() if part in line]
        assert len(lines) == 1, (part, lines)
        return lines[0]


@dataclass(frozen=True)
class Project:
    """A user's project in a directory of its own."""

    pytester: pytest.Pytester

    @property
    def path(self) -> Path:
        return self.pytester.path

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), "utf-8")
        return path

    def test(self, text: str, name: str = "test_project.py") -> Path:
        """A test module with the imports that nearly every one needs."""
        return self.write(name, "import pytest\nfrom pytest_llmperf import llm_slo\n\n" + dedent(text))

    def run(self, *arguments: str, plugins: tuple[str, ...] = ("llmperf",)) -> Session:
        """Run pytest in this process."""
        return self._session(self.pytester.runpytest_inprocess, arguments, plugins)

    def run_apart(
        self, *arguments: str, plugins: tuple[str, ...] = ("llmperf",), timeout_s: float = 280
    ) -> Session:
        """Run pytest in a process of its own. One that hangs is ended before ``faulthandler_timeout``."""

        def run(*words: str) -> pytest.RunResult:
            return self.pytester.runpytest_subprocess(*words, timeout=timeout_s)

        return self._session(run, arguments, plugins)

    def _session(self, run: Any, arguments: tuple[str, ...], plugins: tuple[str, ...]) -> Session:
        report = self.path / "run.json"
        report.unlink(missing_ok=True)
        words = [word for plugin in plugins for word in ("-p", plugin)]
        result = run(*words, "--llm-report=run.json", *arguments)
        content = json.loads(report.read_text("utf-8")) if report.exists() else None
        return Session(result=result, report=content)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with the fixtures ``ask`` and ``noisy``, and no plugin but this one."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("COLUMNS", "80")
    pytester.makeconftest(SCRIPTED)
    return Project(pytester=pytester)


@pytest.fixture(scope="session")
def _lent_mock() -> Iterator[MockServer]:
    with start_mock({"latency": {"ttft": "constant(5ms)", "itl": "constant(1ms)"}}) as server:
        yield server


@pytest.fixture
def one_mock(_lent_mock: MockServer, monkeypatch: pytest.MonkeyPatch) -> MockServer:
    """Sessions in this process take one quick mock server that is there, instead of starting their own."""
    monkeypatch.setattr(_lent_mock, "stop", _lent_mock.reset)
    monkeypatch.setattr(pytest_llmperf.mock.process, "start_mock", lambda *_, **__: _lent_mock)
    return _lent_mock
