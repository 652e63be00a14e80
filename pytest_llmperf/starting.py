"""Before the first test: what its scenarios need is there, or the session ends and says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.markers import asks_backend
from pytest_llmperf.sharing import OPTIONS, rig_of, setup_of
from pytest_llmperf.workers import alone, is_worker

#: What a worker of xdist puts out: why it runs no test.
_GIVEN_UP = "llmperf_given_up"


def is_usable(config: pytest.Config) -> bool:
    """Whether there can be a rig; where not, `pytest_collection_finish` says why, once for all tests."""
    try:
        rig_of(config)
    except LlmPerfUsageError:
        return False
    return True


def prepare(config: pytest.Config, scenarios: Sequence[pytest.Item]) -> None:
    """Make sure that what the scenarios need is there. Raises LlmPerfUsageError."""
    rig = rig_of(config)
    _ = rig.baselines.store  # a baseline that cannot be fetched ends the session now
    mocked = False
    for setup in dict.fromkeys(setup_of(item) for item in scenarios if asks_backend(item)):
        rig.aimed(setup).servers.connect()
        mocked = mocked or rig.aimed(setup).servers.are_mocked
    rig.companions.join_cluster(
        _deciding(config, scenarios),
        [str(argument) for argument in config.invocation_params.args],
        mock_url=rig.companions.mock.url if mocked else None,
    )
    rig.companions.check_out(list(dict.fromkeys(item.path for item in scenarios)), alone(config))


def _deciding(config: pytest.Config, scenarios: Sequence[pytest.Item]) -> list[Path]:
    """The files that decide what *scenarios* measure."""
    tests = dict.fromkeys(item.path for item in scenarios)
    beside = [folder / "conftest.py" for path in tests for folder in path.parents]
    known = [config.stash[OPTIONS].slo_path(config.rootpath), config.inipath]
    return list(
        dict.fromkeys(path for path in [*tests, *beside, *known] if path is not None and path.is_file())
    )


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
