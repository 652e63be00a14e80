"""The server of each arm, looked at before and after the measured part of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pytest_llmperf.core.server_view import Counters, ServerView, between

#: Gives the counters of an arm's server; None where it tells nothing.
Scrape = Callable[[str], Counters | None]


@dataclass(kw_only=True)
class ServerWatch:
    """What the servers say of one scenario. Looking costs nothing of the measured time."""

    scrape: Scrape
    arms: Sequence[str] = ()  #: empty: there is no server to look at
    aside: int = 0  #: our own requests since `begin` that are not measured: they warm up cases
    views: dict[str, ServerView] = field(default_factory=dict)
    _before: dict[str, Counters] = field(default_factory=dict)

    def begin(self) -> None:
        """The measured part begins now."""
        self.aside = 0
        for arm in self.arms:
            if (counters := self.scrape(arm)) is not None:
                self._before[arm] = counters

    def end(self) -> None:
        """The measured part is over."""
        for arm, before in self._before.items():
            if (after := self.scrape(arm)) is not None:
                self.views[arm] = between(before, after)
