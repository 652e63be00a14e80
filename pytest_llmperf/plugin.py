"""Every pytest hook of the plugin: the table of contents of a session."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_llmperf import command_line, markers, sharing, starting, transport, workers
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.fixtures import (
    async_llm,
    llm,
    llm_case,
    llm_client,
    llm_mock,
    llm_setup,
    llm_timer,
    llm_tokens,
)

__all__ = [
    "async_llm",
    "llm",
    "llm_case",
    "llm_client",
    "llm_mock",
    "llm_setup",
    "llm_timer",
    "llm_tokens",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and ini keys."""
    command_line.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """The marker, and the options resolved once."""
    config.addinivalue_line("markers", markers.HELP)
    config.addinivalue_line("markers", markers.LOAD_HELP)
    sharing.start(config, command_line.resolve(config))
    if not workers.is_worker(config):
        config.pluginmanager.register(Controller(config), "llmperf-controller")


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A scenario runs on every set-up; a wrong marker is a collection error of the test."""
    definition = metafunc.definition
    if not markers.is_marked(definition) or not starting.is_usable(metafunc.config):
        return
    try:
        loads = markers.marks_of(definition, markers.LOAD)
        setups = sharing.run_on_every_setup(metafunc)
        for setup in setups:
            rig = sharing.rig_of(metafunc.config).aimed(setup)
            slo = rig.slo(definition.nodeid, markers.marks_of(definition), loads)
            markers.check_cases(definition, metafunc.function, slo.cases)
            if slo.load is not None and slo.load.kind:
                where = loads[-1][1] if loads else definition.nodeid
                rig.rhythm(slo.load, directory=definition.path.parent, where=where)
    except LlmPerfUsageError as error:
        message = str(error)
    else:
        return
    pytest.fail(message, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem() -> Generator[None, object, object]:
    """Tests that cannot share a profile, and are in one mix, are a collection error."""
    made = yield
    scenarios = [one for one in made if markers.is_scenario(one)] if isinstance(made, list) else ()
    if not scenarios:
        return made
    from pytest_llmperf.mixes import mix

    try:
        for scenario in scenarios:
            mix.collect(scenario)
    except LlmPerfUsageError as error:
        message = str(error)
    else:
        return made
    pytest.fail(message, pytrace=False)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> str | None:
    """How many scenarios there are, and how long they may take."""
    scenarios = [item for item in items if markers.is_scenario(item)]
    if not scenarios or config.option.collectonly or config.get_verbosity() < 0:
        return None
    if not starting.is_usable(config):
        return None
    from pytest_llmperf import estimate

    return estimate.sentence(scenarios, sharing.rig_of(config))


@pytest.hookimpl(tryfirst=True)  # before the estimate, which reads the baseline
def pytest_collection_finish(session: pytest.Session) -> None:
    """A wrong slo.yaml, or a server that nobody can reach, ends the session now, and once for all tests."""
    scenarios = [item for item in session.items if markers.is_scenario(item)]
    if not scenarios:
        return
    try:
        sharing.rig_of(session.config)
        if not session.config.option.collectonly:
            starting.prepare(session.config, scenarios)
    except LlmPerfUsageError as error:
        starting.give_up(session, str(error))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Under a load profile a coroutine is run many times, in the event loop of whoever runs coroutines."""
    if not markers.is_scenario(item):
        return (yield)
    from pytest_llmperf.scenario import many_at_once

    with many_at_once(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A scenario's body is repeated, and judged."""
    if not markers.is_scenario(pyfuncitem):
        return (yield)
    from pytest_llmperf.ending import nothing_gone
    from pytest_llmperf.mixes.mix import is_member

    if is_member(pyfuncitem):
        from pytest_llmperf.mixes.running import repeated
    else:
        from pytest_llmperf.scenario import repeated

    with repeated(pyfuncitem), nothing_gone():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The measurement rides on the test's own report, as text that every transport can carry."""
    report = yield
    if markers.is_marked(item):
        transport.attach(report, item)
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    """The mock server goes, and the other revision's worktree, whatever happened."""
    sharing.close(config)


class Controller:
    """Hooks of the process that sees every report: the only one, or the controller of xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Reports survive the crash of a worker, and so do the measurements on them."""
        text = transport.take_off(report)
        if text is not None:
            sharing.ledger_of(self._config).add(text, report)

    def pytest_keyboard_interrupt(self) -> None:
        """Ctrl-C, or pytest.exit."""
        self._config.stash[sharing.CUT_SHORT] = True

    def pytest_internalerror(self, excrepr: object) -> None:
        """An error inside pytest, also in a worker, after which xdist may still exit with 0."""
        sharing.problems_of(self._config).append(f"pytest broke: {str(excrepr).strip().splitlines()[-1]}")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Workers of xdist take turns with their scenarios."""
        workers.share_turns(self._config, node.workerinput)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object, error: object) -> None:
        """A worker of xdist is gone."""
        starting.give_up_too(node)
        if error:
            sharing.problems_of(self._config).append(f"a worker crashed: {node}: {error}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Pooled scenarios are judged, the baseline is saved, reports are written."""
        if sharing.has_results(self._config):
            from pytest_llmperf import ledger

            ledger.finish(session)
        elif sharing.problems_of(self._config) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The section ``llm performance``."""
        if (run := self._config.stash.get(sharing.RUN, None)) is not None:
            from pytest_llmperf import display

            display.show(terminalreporter, run, histograms=self._config.stash[sharing.OPTIONS].histogram)
