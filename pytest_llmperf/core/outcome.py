"""What became of a check, a scenario or a session."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """The classes of a verdict, from harmless to worst; a session's outcome is its worst."""

    SKIPPED = "skipped"  #: nothing was judged (pytest.skip, xfail, quick mode)
    PASSED = "passed"  #: proven to hold
    IMPROVED = "improved"  #: proven to be faster than the baseline
    NO_BASELINE = "no_baseline"  #: limits hold, and there is nothing stored to compare with
    NOT_COMPARABLE = "not_comparable"  #: the stored baseline was measured under other conditions
    INCONCLUSIVE = "inconclusive"  #: the samples prove neither
    UNPROVEN = "unproven"  #: p95 is past the limit, and the samples do not prove it
    REGRESSED = "regressed"  #: proven to be slower than the baseline by more than allowed
    FAILED = "failed"  #: an absolute limit is broken, or the gate could not be asked

    @property
    def severity(self) -> int:
        """Position in the order from harmless (0) to worst."""
        return list(Outcome).index(self)


#: Outcomes that fail by themselves, and those that leave nothing to say or do; between them lies doubt.
BROKEN: Final = frozenset({Outcome.REGRESSED, Outcome.FAILED})
FINE: Final = frozenset({Outcome.SKIPPED, Outcome.PASSED, Outcome.IMPROVED})


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """The most severe of *outcomes*; ``SKIPPED`` when there are none."""
    return max(outcomes, key=lambda outcome: outcome.severity, default=Outcome.SKIPPED)
