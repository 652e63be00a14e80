"""How long 10 000 gates take on one core, and one full decision with its interval.

Run: ``python benchmarks/gate_speed.py``.
Times are of the processor, all threads together, so a busy machine hardly matters.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from pytest_llmperf.core import gate

if TYPE_CHECKING:
    from collections.abc import Callable

GATES = 10_000


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    rng = np.random.default_rng(0)
    for n, promised in ((100, 1.0), (1000, 30.0)):
        now, base = (np.exp(rng.normal(0, 0.3, (GATES, n))) for _ in range(2))
        gate.decide_many(now[:1], [base[:1]])  # the weights of this shape are computed once
        took = min(seconds(partial(gate.decide_many, now, [base])) for _ in range(3))
        print(f"{GATES} gates at n = m = {n:4}: {took:6.2f} s; promised: {promised:.0f} s")
    for n, m, interleaved in ((30, 200, False), (480, 1000, False), (480, 480, True)):
        arms = np.exp(rng.normal(0.2, 0.3, n)).tolist(), [np.exp(rng.normal(0, 0.3, m)).tolist()]
        took = min(seconds(partial(gate.decide, *arms, interleaved=interleaved)) for _ in range(5))
        kind = "interleaved" if interleaved else "stored"
        print(f"one decision, {kind:11}, n = {n:3}, m = {m:4}: {1000 * took:6.1f} ms")


if __name__ == "__main__":
    main()
