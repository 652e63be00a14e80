"""The interpreter while a load is measured: what would hold its threads up waits, or is cut short."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

#: For the garbage collector: requests leave no cycles, and each of its pauses is in somebody's latency.
_THRESHOLDS = 50_000, 20, 100

#: Seconds that a thread may compute while others wait for the interpreter, as what samples the server's
#: processes does: Python's own 5 ms would be in the latency of every answer that comes meanwhile.
_SWITCH_S = 0.0005


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """In the block nothing but the load itself makes requests look slow."""
    gc.collect()
    gc.freeze()  # a full collection walks all that pytest and the test have made, which takes long
    thresholds, switch_s = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(*_THRESHOLDS)
    sys.setswitchinterval(min(switch_s, _SWITCH_S))
    try:
        yield
    finally:
        sys.setswitchinterval(switch_s)
        gc.set_threshold(*thresholds)
        gc.unfreeze()
