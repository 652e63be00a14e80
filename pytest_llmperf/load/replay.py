"""Replay: an open loop at the times at which requests once came."""

from __future__ import annotations

import zlib
from array import array
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Self

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.load import Load, arrival_times
from pytest_llmperf.load.plan import Arrivals


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """An iteration begins at each recorded time; the first at once."""

    due_s: tuple[float, ...]
    max_concurrency: int | None

    @classmethod
    def of(cls, load: Load) -> Self:
        """The profile that *load* asks for; its file was read by `with_file`."""
        assert isinstance(load.replay, tuple)
        end_s = load.duration
        due_s = load.replay if end_s is None else tuple(at for at in load.replay if at < end_s)
        return cls(due_s=due_s, max_concurrency=load.max_concurrency)

    @property
    def fact(self) -> str:
        """Which recording, by its length and a checksum."""
        checksum = zlib.crc32(array("d", self.due_s).tobytes())
        return f"replay of {len(self.due_s)} arrivals ({checksum:08x})"

    def plan(self, rng: Random) -> Arrivals:  # noqa: ARG002 - nothing about it is random
        """The recorded times."""
        return Arrivals(due_s=array("d", self.due_s), max_concurrency=self.max_concurrency)


def read_times(path: Path) -> tuple[float, ...]:
    """Arrival times of a file: one number of seconds in a line, ascending; # begins a comment.

    Raises LlmPerfUsageError that names the line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LlmPerfUsageError(f"replay: {path} cannot be read: {error}") from None
    times = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if text:
            try:
                times.append(float(text))
            except ValueError:
                raise LlmPerfUsageError(f"{path}:{number}: {text!r} is not a time in seconds") from None
    if not times:
        raise LlmPerfUsageError(f"replay: {path} holds no arrival time")
    try:
        return arrival_times(times)
    except ValueError as error:
        raise LlmPerfUsageError(f"replay: {path}: {error}") from None
