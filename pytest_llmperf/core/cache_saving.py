"""What the prefix cache saves: warm requests against cold ones, measured in turns."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_llmperf.core.measurement import Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """One statistic of one metric, cold and warm. A ratio below 1 is a saving."""

    metric: str  #: ttft or latency
    statistic: str  #: p50 or p95
    cold_s: float
    warm_s: float
    ratio: float  #: warm / cold
    low: float  #: 95 % interval of the ratio
    high: float | None  #: None where so few samples give none
    n: int  #: warm requests

    @property
    def saved(self) -> float:
        """Share of the time that is saved; negative where warm requests are slower."""
        return 1 - self.ratio

    @property
    def is_proven(self) -> bool:
        """Whether warm and cold differ, as far as the interval can tell."""
        return self.low > 1 or (self.high is not None and self.high < 1)


def savings(warm: Measurement, cold: Measurement) -> tuple[Saving, ...]:
    """What *warm* saves against *cold*, for each time that both have."""
    from pytest_llmperf.core import gate  # noqa: PLC0415 - numpy, for a session that measures
    from pytest_llmperf.core.metric import QUANTILES  # noqa: PLC0415

    found = []
    for metric in ("ttft", "latency"):
        ours, theirs = warm.series.get(f"{metric}_s", ()), cold.series.get(f"{metric}_s", ())
        if len(ours) < 2 or len(theirs) < 2:
            continue
        for statistic in ("p50", "p95"):
            decision = gate.decide(ours, [theirs], quantile=QUANTILES[statistic], interleaved=True)
            if decision.quantile != QUANTILES[statistic]:
                continue  # too few for this one
            found.append(
                Saving(
                    metric=metric,
                    statistic=statistic,
                    cold_s=decision.baseline,
                    warm_s=decision.observed,
                    ratio=decision.ratio,
                    low=decision.low,
                    high=decision.high if decision.high < float("inf") else None,
                    n=decision.n,
                )
            )
    return tuple(found)
