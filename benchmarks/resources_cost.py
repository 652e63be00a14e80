"""What sampling costs: CPU time of the process with and without the sampler, as a share of one core.

python benchmarks/resources_cost.py [--seconds 20]
"""

from __future__ import annotations

import argparse
import time
from statistics import median

from pytest_llmperf.mock.process import start_mock
from pytest_llmperf.probes.resources import Subject, sampler_of
from pytest_llmperf.probes.sampler import INTERVAL_S

SAMPLES = 200


def idle(seconds: float) -> float:
    """CPU seconds that this process uses while it sleeps."""
    began = time.process_time()
    time.sleep(seconds)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="with and without it (default: 20)")
    seconds = parser.parse_args().seconds
    with start_mock() as mock:
        sampler = sampler_of(Subject(backend="mock", mock_pid=mock.pid))
        without = idle(seconds)
        sampler.begin()
        with_it = idle(seconds)
        took = []
        for _ in range(SAMPLES):
            began = time.perf_counter()
            _ = sampler.taken
            took.append(time.perf_counter() - began)
        sampler.end()
    share = (with_it - without) / seconds
    print(f"sampling every {INTERVAL_S} s for {seconds:g} s: {100 * share:.2f} % of a core (target < 1 %)")
    print(f"one sample: median {1000 * median(took):.2f} ms, slowest {1000 * max(took):.2f} ms of {SAMPLES}")


if __name__ == "__main__":
    main()
