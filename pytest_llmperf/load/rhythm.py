"""A load profile with all that belongs to it, ready to be planned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from pytest_llmperf.core.load import Load
from pytest_llmperf.load.profiles import LoadProfile, profile_of
from pytest_llmperf.load.replay import read_times
from pytest_llmperf.load.think_time import Think, parse_think


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """What ``@llm_load`` comes to."""

    load: Load
    profile: LoadProfile
    think: Think
    mix: str = ""  #: who shares it, in words

    @classmethod
    def of(cls, load: Load, *, find: Callable[[str], Path]) -> Self:
        """*load* with its file read, which *find* finds. Raises LlmPerfUsageError."""
        if isinstance(load.replay, str):
            load = replace(load, replay=read_times(find(load.replay)))
        return cls(load=load, profile=profile_of(load), think=parse_think(load.think_time))

    @property
    def fact(self) -> str:
        """What must be the same for two runs to be compared, in words."""
        words = [self.profile.fact]
        if self.load.think_time is not None:
            words.append(f"think time {self.load.think_time}")
        if self.mix:
            words.append(self.mix)
        return ", ".join(words)
