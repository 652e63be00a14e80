"""What the hooks and fixtures of one process share, kept in pytest's own stash."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.markers import asks_backend
from pytest_llmperf.options import Options
from pytest_llmperf.transport import INTERRUPTED
from pytest_llmperf.workers import remove_turns, turn_lock

if TYPE_CHECKING:
    from pytest_llmperf.core.run import Run
    from pytest_llmperf.ledger import Ledger
    from pytest_llmperf.rig.rig import Rig

OPTIONS = pytest.StashKey[Options]()

#: The finished run, for the terminal.
RUN: pytest.StashKey[Run] = pytest.StashKey()

#: Whether Ctrl-C or pytest.exit, with whatever exit status, ended the session.
CUT_SHORT = pytest.StashKey[bool]()

#: The fixture by which scenarios are told apart where several set-ups are compared.
SETUP = "llm_setup"

_STARTED = pytest.StashKey[float]()
_RIG: pytest.StashKey[Rig] = pytest.StashKey()
_LEDGER: pytest.StashKey[Ledger] = pytest.StashKey()
_UNUSABLE = pytest.StashKey[str]()
_PROBLEMS = pytest.StashKey[list[str]]()


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


def ledger_of(config: pytest.Config) -> Ledger:
    """The session's ledger, made by the first call; it takes over the problems seen so far."""
    if _LEDGER not in config.stash:
        from pytest_llmperf.ledger import Ledger

        config.stash[_LEDGER] = Ledger(started=config.stash[_STARTED], problems=config.stash[_PROBLEMS])
    return config.stash[_LEDGER]


def has_results(config: pytest.Config) -> bool:
    """Whether any scenario was reported, or interrupted."""
    return _LEDGER in config.stash or INTERRUPTED in config.stash


def problems_of(config: pytest.Config) -> list[str]:
    """What keeps the gate from knowing, such as an error inside pytest; to be appended to."""
    return config.stash[_PROBLEMS]


def close(config: pytest.Config) -> None:
    """Stop and remove what the process started and made."""
    if _RIG in config.stash:
        config.stash[_RIG].close()
    remove_turns(config)
