"""Until when the next piece of an answer is waited for."""

from __future__ import annotations

from typing import NamedTuple

from pytest_llmperf.core.exchange import FailureKind


class Deadline(NamedTuple):
    """A moment, and what it means when it comes first."""

    at_s: float  #: on the clock of ``time.perf_counter()``
    kind: FailureKind | None  #: None: nothing is missing any more, so this is no failure
    allowed_s: float  #: how long that was

    @property
    def text(self) -> str:
        """For people."""
        return _TEXTS[self.kind].format(self.allowed_s)


_TEXTS = {
    FailureKind.TIMEOUT_FIRST_TOKEN: "no token within {:g} s",
    FailureKind.TIMEOUT_STALL: "nothing more within {:g} s",
    FailureKind.TIMEOUT_TOTAL: "not complete within {:g} s",
    None: "complete",
}
