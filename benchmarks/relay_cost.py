"""What the recording relay adds: the same streams of the mock with and without it, in turns in one run.

    python benchmarks/relay_cost.py [--rounds 40]

Compare columns of one run only; numbers of different runs or machines say little.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics

from pytest_llmperf.client.aio import AsyncClient
from pytest_llmperf.client.recorder import Recording
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.mock.process import start_mock
from pytest_llmperf.relay.process import RelayProcess
from pytest_llmperf.relay.upstream import Upstream


async def ask(url: str, concurrency: int) -> list[tuple[float, float]]:
    """TTFT and latency of streams at once, in seconds."""
    recording = Recording()
    async with AsyncClient(Backend(name="b", kind="openai", url=url, model="mock"), recording) as client:
        await client.chat("warm up")
        recording.exchanges.clear()
        await asyncio.gather(*(client.chat("merhaba") for _ in range(concurrency)))
    return [(one.ttft_s or 0.0, one.latency_s) for one in recording.exchanges]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    with start_mock({"latency": {"ttft": "20ms", "itl": "2ms"}}) as mock:
        relay = RelayProcess({"it": Upstream(url=mock.url)}, first="it", placeholder="llmperf-benchmark")
        try:
            print(f"at its start the relay measured: {relay.cost}")
            _, url = relay.register(lambda seen: None, None)  # noqa: ARG005
            for concurrency in (1, 8, 32):
                direct: list[tuple[float, float]] = []
                relayed: list[tuple[float, float]] = []
                for _ in range(rounds):
                    direct += asyncio.run(ask(mock.url, concurrency))
                    relayed += asyncio.run(ask(url, concurrency))
                for name, index in (("ttft", 0), ("latency", 1)):
                    without, through = row(direct, index), row(relayed, index)
                    print(f"{concurrency:3} streams  {name:8}{without}  through the relay{through}")
        finally:
            relay.stop()


def row(values: list[tuple[float, float]], index: int) -> str:
    cuts = statistics.quantiles([value[index] * 1e3 for value in values], n=100)
    return f"  p50 {cuts[49]:8.3f}  p99 {cuts[98]:8.3f} ms"


if __name__ == "__main__":
    main()
