"""One part of a load run, in a pytest process of its own.

`run_shard` is a plain function of a `Spec`, so any ``concurrent.futures.Executor`` can call it, here or on
another machine. What a part measured comes back as JSON text. `worker` is the other end, inside that process.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pytest_llmperf.child_process.last_words import last_words
from pytest_llmperf.shards.meeting import Keeper, Line, LoopbackMeeting

#: Where the other process finds its `Spec`.
SPEC = "LLMPERF_SHARD"

_WIDE = "400"  #: columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A part's place in a meeting."""

    meeting: LoopbackMeeting  #: for the part's own process
    keeper: Keeper


class Meeting(Protocol):
    """Where the parts meet; where a `Crew`'s executor brings a `Spec`, this goes with it."""

    def here(self, index: int) -> contextlib.AbstractContextManager[Seat]:
        """The place of part *index*, on the machine that runs it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One part of a load run, for `run_shard`."""

    node_ids: tuple[str, ...]  #: of the tests that take part
    arguments: tuple[str, ...]  #: of pytest
    directory: str  #: to start pytest in
    index: int
    of: int
    meeting: Meeting | LoopbackMeeting  #: the latter in the part's own process
    own_cache: bool = False  #: whether pytest has a cache, of which no part may change the session's
    mock_url: str | None = None  #: of the leading session's mock server, where it uses one
    spent: tuple[
        float, ...
    ] = ()  #: of the session's budget before this run, and its dearest iteration, in USD

    def moved(self, old: str, new: str) -> Spec:
        """The same for a machine on which the project that is at *old* here is at *new*."""
        here = re.compile(f"{re.escape(old)}(?![^/:,])")  # and not another folder whose name begins like it
        directory, *arguments = (here.sub(lambda _: new, text) for text in (self.directory, *self.arguments))
        return replace(self, directory=directory, arguments=tuple(arguments))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """What became of one part."""

    index: int
    text: str | None  #: what `worker` wrote; None when it is lost
    words: str = ""  #: why it is lost, or the last that its process said


def run_shard(spec: Spec) -> ShardResult:
    """Run one part in a pytest process of its own, and wait for it."""
    assert not isinstance(spec.meeting, LoopbackMeeting)
    with (
        spec.meeting.here(spec.index) as seat,
        tempfile.TemporaryDirectory(prefix="llmperf-shard-") as folder,
    ):
        given, result, log = (Path(folder) / name for name in ("spec", "result", "log"))
        given.write_bytes(pickle.dumps((replace(spec, meeting=seat.meeting), str(result))))
        cache = [f"--override-ini=cache_dir={folder}/cache"] if spec.own_cache else []
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - the user's own tests
                [sys.executable, "-m", "pytest", *spec.arguments, *cache],
                cwd=spec.directory,
                env={**_environment(), SPEC: str(given)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the session that leads, which tells this one
            )
            seat.keeper.keep(process)
            process.wait()
        text = result.read_text("utf-8") if result.exists() else None
        words = last_words(log.read_text("utf-8", "replace"), status=process.returncode)
    return ShardResult(index=spec.index, text=text, words=seat.keeper.why or words)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    return {**kept, "COLUMNS": _WIDE}  # what pytest says last is not cut off


def result_of(future: Future[ShardResult], spec: Spec) -> ShardResult:
    """What became of a part that was given to an executor; one whose worker is gone is lost."""
    if not future.done():
        return ShardResult(index=spec.index, text=None, words="it was not waited for")
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001 - whatever an executor raises, the part is lost
        return ShardResult(index=spec.index, text=None, words=f"{type(error).__name__}: {error}")


def meet(spec: Spec, on_stop: Callable[[str], object]) -> Line:
    """In a part's own process: wait until every part is there; *on_stop* is called with a reason later."""
    assert isinstance(spec.meeting, LoopbackMeeting)
    return spec.meeting.join(spec.index, on_stop)
