"""Results of members of a mix, which another one had measured, here or in another worker."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_llmperf.conducting.elsewhere import in_words, of_words
from pytest_llmperf.markers import node_id
from pytest_llmperf.transport import INTERRUPTED


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What became of a member."""

    text: str  #: its `Scenario`
    failure: BaseException | None = None


class Left:
    """Results of members that pytest has not come to yet; each is taken once.

    Under xdist another worker may come to them: they lie in files beside the lock.
    """

    def __init__(self, config: pytest.Config, folder: Path | None) -> None:
        self._known = config.stash.setdefault(_RESULTS, {})
        self._config = config
        self._folder = folder

    def leave(self, item: pytest.Item, ended: Ended) -> None:
        """Keep the result of *item*, unless it has had one and is only run again."""
        if self._folder is not None:
            path = self._path(item, self._folder)
            if not path.with_suffix(".taken").exists():
                path.write_text(_dumps(ended), "utf-8")
        elif node_id(item) not in self._known:
            self._known[node_id(item)] = ended
            # Should the session end before: nothing measured is lost.
            self._config.stash.setdefault(INTERRUPTED, []).append(ended.text)

    def take(self, item: pytest.Item) -> Ended | None:
        """The result of *item*; None where its mix has to be run."""
        if self._folder is None:
            ended = self._known.get(node_id(item))
            self._known[node_id(item)] = None
            return ended
        path = self._path(item, self._folder)
        text = path.read_text("utf-8") if path.exists() else None
        path.with_suffix(".taken").touch()
        path.unlink(missing_ok=True)
        return None if text is None else _loads(text)

    @staticmethod
    def _path(item: pytest.Item, folder: Path) -> Path:
        return folder / f"mix-{hashlib.sha256(node_id(item).encode()).hexdigest()[:24]}.json"


_RESULTS = pytest.StashKey[dict[str, Ended | None]]()


def _dumps(ended: Ended) -> str:
    failure = None if ended.failure is None else in_words(ended.failure)
    return json.dumps({"scenario": ended.text, "failure": failure})


def _loads(text: str) -> Ended:
    told = json.loads(text)
    failure = None if told["failure"] is None else of_words(*told["failure"])
    return Ended(text=told["scenario"], failure=failure)
