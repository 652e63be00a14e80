"""Whether a stream was gathered and handed over at once: by a proxy, or by a server that is short of CPU.

vLLM does the latter on two cores, where its engine and its worker leave none to the process that sends.
"""

from __future__ import annotations

from statistics import median

from pytest_llmperf.core.health import LATE_SHARE
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.quantity import show

_MOST = 0.9  #: share of the chunks in one read, and of the latency before the first token
_LEAST_S = 0.02  #: a server may well be done before the first read sooner than this


def buffering(measurement: Measurement) -> str | None:
    """A sentence when first tokens come late and the rest at once."""
    ttft, latency = (measurement.series.get(name, ()) for name in ("ttft_s", "latency_s"))
    if not ttft or not latency or not measurement.same_read.trials:
        return None
    first_s, share = median(ttft), measurement.same_read.rate
    if measurement.load is not None and measurement.load.health.late_share > LATE_SHARE:
        return None  # it was the load generator that read late, which is said elsewhere
    if share < _MOST or first_s < _LEAST_S or first_s < _MOST * median(latency):
        return None
    return (
        f"{show(share, '')} of the chunks arrived in the same read as the one before, and the first after "
        f"{show(first_s, 's')}, nearly with the last: a proxy that buffers the stream, or a server that "
        "has no core free to send it, spoils TTFT and ITL"
    )
