"""Workers of pytest-xdist, which take turns with their scenarios; what they share lies in one folder."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

_TURNS = pytest.StashKey[Path]()
_TURN_LOCK = "llmperf_turn_lock"


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


def alone(config: pytest.Config) -> list[str]:
    """What makes another pytest of this project no controller of workers, which its settings may ask for."""
    return ["-n0"] if config.pluginmanager.hasplugin("xdist") else []


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


def remove_turns(config: pytest.Config) -> None:
    """Nobody takes a turn any more."""
    if _TURNS in config.stash:
        shutil.rmtree(config.stash[_TURNS], ignore_errors=True)
