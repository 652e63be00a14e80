"""Whether the load generator could keep up, so that its figures say something about the server.

A generator that is late reads tokens late and sends requests late, and what it reports is its own delay.
The thresholds are relative to what is measured: a lag of 5 ms says nothing about answers that take two
seconds, and everything about answers that take 20 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_llmperf.core.doubt import LAG_SHARE, Doubt
from pytest_llmperf.core.quantity import show

#: No lag below this counts: a loop that serves a hundred streams is that late at times, and it hides nothing.
LAG_FLOOR_S = 0.001
#: Of one core; above it a generator in Python has no time left to be on time.
CPU_SHARE = 0.90
#: Of the chunks: when more of them are late, inter-token times are the generator's.
LATE_SHARE = 0.05
#: Of the arrivals, or of the iterations: what is missing is what a slow server made slow.
MISSING_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the generator fared; the worst of its processes where there are several."""

    lag_p95_s: float = 0.0  #: the event loop's, or the threads', delay in waking up
    lag_max_s: float = 0.0
    schedule_lag_p95_s: float = 0.0  #: start minus due, where iterations have a due time
    schedule_lag_max_s: float = 0.0
    cpu_share: float = 0.0  #: of one core, during the run
    #: Chunks read while the generator was more than 5 ms late. When bytes reached the kernel cannot be
    #: seen; these are the ones that may have waited there.
    late_chunks: int = 0
    chunks: int = 0

    @property
    def late_share(self) -> float:
        """Share of the chunks that may have been read late."""
        return self.late_chunks / self.chunks if self.chunks else 0.0


def worst(parts: list[Health]) -> Health:
    """The health of several processes that loaded one server: as good as the worst of them."""
    return Health(
        lag_p95_s=max(part.lag_p95_s for part in parts),
        lag_max_s=max(part.lag_max_s for part in parts),
        schedule_lag_p95_s=max(part.schedule_lag_p95_s for part in parts),
        schedule_lag_max_s=max(part.schedule_lag_max_s for part in parts),
        cpu_share=max(part.cpu_share for part in parts),
        late_chunks=sum(part.late_chunks for part in parts),
        chunks=sum(part.chunks for part in parts),
    )


def saturation(health: Health, *, typical_s: float | None, of: str) -> Iterator[Doubt]:
    """Why the figures may be the generator's own; nothing when it kept up.

    *typical_s*: the median of what is measured, *of*: TTFT where there is one, else latency.
    """
    if typical_s is not None:
        for name, lag_s, most_s in (
            ("the generator was", health.lag_p95_s, health.lag_max_s),
            ("iterations began", health.schedule_lag_p95_s, health.schedule_lag_max_s),
        ):
            if lag_s > max(LAG_FLOOR_S, LAG_SHARE * typical_s):
                share = f"{100 * lag_s / typical_s:.0f} % of the median {of}, {show(typical_s, 's')}"
                told = f"{name} {show(lag_s, 's')} late at p95, {share}"
                yield Doubt(told=told, excess_s=most_s, hides=False)
    if health.cpu_share > CPU_SHARE:
        yield Doubt(told=f"the generator used {100 * health.cpu_share:.0f} % of a core")
    if health.late_share > LATE_SHARE:
        told = f"{show(health.late_share, '')} of the chunks may have been read late"
        yield Doubt(told=told, excess_s=2 * health.lag_max_s)  # what piled up takes as long again to read
