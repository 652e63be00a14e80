"""What the hooks and fixtures of one process share, kept in pytest's own stash."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.markers import asks_backend
from pytest_llmperf.options import Options

if TYPE_CHECKING:
    from pytest_llmperf.core.run import Run
    from pytest_llmperf.ledger import Ledger
    from pytest_llmperf.rig.rig import Rig

OPTIONS = pytest.StashKey[Options]()

#: The finished run, for the terminal.
RUN: pytest.StashKey[Run] = pytest.StashKey()

#: JSON texts of scenarios that were interrupted, for which pytest makes no report.
INTERRUPTED = pytest.StashKey[list[str]]()

#: JSON text of an item's scenario, on its way to the item's report.
RESULT = pytest.StashKey[str]()

#: Whether Ctrl-C or pytest.exit, with whatever exit status, ended the session.
CUT_SHORT = pytest.StashKey[bool]()

#: Of a report; xdist carries every attribute that is plain text.
_ATTRIBUTE = "llmperf"

#: The fixture by which scenarios are told apart where several set-ups are compared.
SETUP = "llm_setup"

_PASSED = pytest.StashKey[bool]()
_STARTED = pytest.StashKey[float]()
_RIG: pytest.StashKey[Rig] = pytest.StashKey()
_LEDGER: pytest.StashKey[Ledger] = pytest.StashKey()
_UNUSABLE = pytest.StashKey[str]()
_PROBLEMS = pytest.StashKey[list[str]]()
_TURNS = pytest.StashKey[Path]()
_TURN_LOCK = "llmperf_turn_lock"

#: What a worker of xdist puts out: why it runs no test.
_GIVEN_UP = "llmperf_given_up"


def start(config: pytest.Config, options: Options) -> None:
    """Keep what every part of the session needs."""
    config.stash[OPTIONS] = options
    config.stash[_STARTED] = time.time()
    config.stash[_PROBLEMS] = []


def rig_of(config: pytest.Config) -> Rig:
    """The process's rig, made by the first call. Raises LlmPerfUsageError, at every call the same."""
    if _UNUSABLE in config.stash:
        raise LlmPerfUsageError(config.stash[_UNUSABLE])
    if _RIG not in config.stash:
        from pytest_llmperf.rig.rig import Rig
        from pytest_llmperf.shards.worker import SHARD

        spec, _ = config.stash.get(SHARD, (None, None))
        try:
            config.stash[_RIG] = Rig.build(
                config.stash[OPTIONS],
                config.rootpath,
                turn_lock=turn_lock(config),
                mock_url=None if spec is None else spec.mock_url,
            )
        except LlmPerfUsageError as error:
            config.stash[_UNUSABLE] = str(error)
            raise
    return config.stash[_RIG]


def setup_of(item: pytest.Item) -> str:
    """The label of the set-up that *item* runs on; empty where the session has only one."""
    callspec = getattr(item, "callspec", None)
    return "" if callspec is None else str(callspec.params.get(SETUP, ""))


def run_on_every_setup(metafunc: pytest.Metafunc) -> list[str]:
    """Make a test of its own for every set-up that is compared, and give their labels; [""] for one."""
    labels = [setup.label for setup in metafunc.config.stash[OPTIONS].setups]
    if not labels or not asks_backend(metafunc.definition):
        return [""]
    metafunc.fixturenames.append(SETUP)
    # All scenarios of a set-up run together: a server that swaps models does so once.
    metafunc.parametrize(SETUP, labels, ids=labels, indirect=True, scope="session")
    return labels


def rig_for(item: pytest.Item) -> Rig:
    """The rig of the set-up that *item* runs on. Raises LlmPerfUsageError."""
    return rig_of(item.config).aimed(setup_of(item))


def prepare(config: pytest.Config, scenarios: Sequence[pytest.Item]) -> None:
    """Make sure that what the scenarios need is there. Raises LlmPerfUsageError."""
    rig = rig_of(config)
    _ = rig.baselines.store  # a baseline that cannot be fetched ends the session now
    mocked = False
    for setup in dict.fromkeys(setup_of(item) for item in scenarios if asks_backend(item)):
        rig.aimed(setup).servers.connect()
        mocked = mocked or rig.aimed(setup).servers.are_mocked
    if rig.options.cluster is not None:
        rig.companions.join_cluster(
            _deciding(config, scenarios),
            [str(argument) for argument in config.invocation_params.args],
            mock_url=rig.companions.mock.url if mocked else None,
        )
    # A project that always runs under xdist would make the other process a controller.
    alone = ["-n0"] if config.pluginmanager.hasplugin("xdist") else []
    rig.companions.check_out(list(dict.fromkeys(item.path for item in scenarios)), alone)


def _deciding(config: pytest.Config, scenarios: Sequence[pytest.Item]) -> list[Path]:
    """The files that decide what *scenarios* measure."""
    tests = dict.fromkeys(item.path for item in scenarios)
    beside = [folder / "conftest.py" for path in tests for folder in path.parents]
    known = [config.stash[OPTIONS].slo_path(config.rootpath), config.inipath]
    return list(
        dict.fromkeys(path for path in [*tests, *beside, *known] if path is not None and path.is_file())
    )


def ledger_of(config: pytest.Config) -> Ledger:
    """The session's ledger, made by the first call; it takes over the problems seen so far."""
    if _LEDGER not in config.stash:
        from pytest_llmperf.ledger import Ledger

        config.stash[_LEDGER] = Ledger(started=config.stash[_STARTED], problems=config.stash[_PROBLEMS])
    return config.stash[_LEDGER]


def has_results(config: pytest.Config) -> bool:
    """Whether any scenario was reported, or interrupted."""
    return _LEDGER in config.stash or INTERRUPTED in config.stash


def attach(report: pytest.TestReport, item: pytest.Item) -> None:
    """Put the item's result on its report; empty where a passed test left none.

    Subtests make reports of their own before there is a result: they carry nothing.
    """
    if RESULT in item.stash:
        text = item.stash[RESULT]
        setattr(report, _ATTRIBUTE, text)
        del item.stash[RESULT]
        if text in (interrupted := item.config.stash.get(INTERRUPTED, [])):
            interrupted.remove(text)  # under --pdb Ctrl-C ends one test, and there is a report
        item.stash[_PASSED] = False
    elif report.when == "call":
        item.stash[_PASSED] = report.passed
    elif report.when == "teardown" and item.stash.get(_PASSED, False):
        setattr(report, _ATTRIBUTE, "")


def take_off(report: pytest.TestReport) -> str | None:
    """What `attach` put on a report; None for a report of anything else.

    It is gone from there: pytest keeps every report to the end, and the samples of a load test are megabytes.
    """
    text: str | None = report.__dict__.pop(_ATTRIBUTE, None)
    # pytest-rerunfailures adds an outcome: that run of the test does not count.
    return None if str(report.outcome) == "rerun" else text


def is_usable(config: pytest.Config) -> bool:
    """Whether there can be a rig; where not, `pytest_collection_finish` says why, once for all tests."""
    try:
        rig_of(config)
    except LlmPerfUsageError:
        return False
    return True


def give_up(session: pytest.Session, reason: str) -> None:
    """End the session before its first test, for *reason*, as pytest does for a wrong option."""
    if is_worker(session.config):
        # An error in a worker reads as a crash; this ends it, but each worker would run one test before.
        session.config.workeroutput[_GIVEN_UP] = reason  # type: ignore[attr-defined]  # xdist's
        session.shouldstop = reason
        session.config.pluginmanager.register(_RunNothing())
    else:
        raise pytest.UsageError(reason)


def give_up_too(node: object) -> None:
    """In the controller of xdist: end the session if a worker has given up."""
    output: Mapping[str, str] = getattr(node, "workeroutput", {})
    if _GIVEN_UP in output:
        raise pytest.UsageError(output[_GIVEN_UP])


class _RunNothing:
    """Passes over every test without a report."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> bool:
        return True


def problems_of(config: pytest.Config) -> list[str]:
    """What keeps the gate from knowing, such as an error inside pytest; to be appended to."""
    return config.stash[_PROBLEMS]


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


def share_turns(config: pytest.Config, worker_input: dict[str, object]) -> None:
    """Tell a worker of xdist which file to lock to take its turn; the controller removes it."""
    if _TURNS not in config.stash:
        config.stash[_TURNS] = Path(tempfile.mkdtemp(prefix="llmperf-"))
    worker_input[_TURN_LOCK] = str(config.stash[_TURNS] / "turn")


def turn_lock(config: pytest.Config) -> Path | None:
    """The file to lock for a turn; None without xdist."""
    path = getattr(config, "workerinput", {}).get(_TURN_LOCK)
    return None if path is None else Path(path)


def left_behind(config: pytest.Config) -> list[str]:
    """JSON texts of members of a mix that workers of xdist measured, and that no test came to take."""
    folder = config.stash.get(_TURNS, None)
    paths = [] if folder is None else sorted(folder.glob("mix-*.json"))
    return [str(json.loads(path.read_text("utf-8"))["scenario"]) for path in paths]


def close(config: pytest.Config) -> None:
    """Stop and remove what the process started and made."""
    if _RIG in config.stash:
        config.stash[_RIG].close()
    if _TURNS in config.stash:
        shutil.rmtree(config.stash[_TURNS], ignore_errors=True)
