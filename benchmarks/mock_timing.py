"""How late the mock sends its tokens, beside asyncio's and uvloop's own timers.

    python benchmarks/mock_timing.py [--streams 32] [--seconds 5]

Every stream sends a token each 10 ms. Lateness is when a token was handed to the system, less when it was
due; both on the server's clock, so that the client has no part in it. The mock's numbers are
those of its timers, of a loop's ``call_at`` those of the same loop without them. A negative number
is a token that came early: it must not happen. A busy machine shows in all rows alike.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
from collections.abc import Callable
from time import perf_counter_ns

from pytest_llmperf.mock.timers import LoopAlarm, Timers

GAP_NS = 10_000_000


async def through(
    at: Callable[[int, Callable[[int], None]], None], streams: int, seconds: float
) -> list[int]:
    """Lateness in nanoseconds of every token of *streams* streams."""
    late: list[int] = []
    start = perf_counter_ns() + 50_000_000
    end = start + round(seconds * 1e9)
    waiting = streams
    done = asyncio.Event()

    def token(deadline: int) -> None:
        nonlocal waiting
        late.append(perf_counter_ns() - deadline)
        following = deadline + GAP_NS
        if following < end:
            at(following, token)
        else:
            waiting -= 1
            if not waiting:
                done.set()

    for stream in range(streams):
        at(start + stream * GAP_NS // streams + stream * 7919, token)
    await done.wait()
    return late


async def with_timers(streams: int, seconds: float, *, spin: bool) -> list[int]:
    timers = Timers(asyncio.get_running_loop())
    if spin:
        timers._alarm.close()  # noqa: SLF001 - the benchmark chooses the alarm
        timers._alarm = LoopAlarm(asyncio.get_running_loop(), timers._ring)  # noqa: SLF001
    late = await through(timers.at, streams, seconds)
    timers.close()
    return late


async def with_loop(streams: int, seconds: float) -> list[int]:
    loop = asyncio.get_running_loop()
    shift = loop.time() - perf_counter_ns() / 1e9

    def at(deadline: int, callback: Callable[[int], None]) -> None:
        loop.call_at(deadline / 1e9 + shift, callback, deadline)

    return await through(at, streams, seconds)


def show(name: str, late: list[int]) -> None:
    late.sort()
    marks = [late[min(len(late) - 1, int(len(late) * share))] / 1e3 for share in (0.5, 0.95, 0.99)]
    early = sum(value < 0 for value in late) / len(late)
    print(f"{name:24} {marks[0]:9.0f} {marks[1]:9.0f} {marks[2]:9.0f} {late[0] / 1e3:10.0f} {early:8.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, nargs="*", default=[32, 128])
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    for streams in options.streams:
        print(f"\n{streams} streams, a token each 10 ms; microseconds late")
        print(f"{'timers':24} {'p50':>9} {'p95':>9} {'p99':>9} {'earliest':>10} {'early':>8}")
        show("mock (timerfd)", asyncio.run(with_timers(streams, options.seconds, spin=False)))
        show("mock (loop and spin)", asyncio.run(with_timers(streams, options.seconds, spin=True)))
        show("asyncio call_at", asyncio.run(with_loop(streams, options.seconds)))
        if importlib.util.find_spec("uvloop"):
            import uvloop  # noqa: PLC0415 - compared with where it is installed

            show("uvloop call_at", uvloop.run(with_loop(streams, options.seconds)))


if __name__ == "__main__":
    main()
