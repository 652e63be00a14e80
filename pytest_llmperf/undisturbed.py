"""The interpreter while time counts: what would hold its threads up waits, or is cut short."""

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


def spare_pauses() -> None:
    """Have the garbage collector leave alone what there is, and come seldom, from now on."""
    gc.collect()
    gc.freeze()  # a full collection walks all that was made so far, which takes milliseconds
    gc.set_threshold(*_THRESHOLDS)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """In the block nothing but the load itself makes requests look slow."""
    thresholds, switch_s = gc.get_threshold(), sys.getswitchinterval()
    spare_pauses()
    sys.setswitchinterval(min(switch_s, _SWITCH_S))
    try:
        yield
    finally:
        sys.setswitchinterval(switch_s)
        gc.set_threshold(*thresholds)
        gc.unfreeze()
