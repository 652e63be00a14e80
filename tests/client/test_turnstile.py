from __future__ import annotations

import asyncio

from pytest_llmperf.client.turnstile import Turnstile


def test_one_goes_in_each_turn_of_the_loop_in_order_of_arrival():
    async def run():
        turnstile, gone, seen = Turnstile(), [], []
        for number in range(3):
            turnstile.enter(lambda number=number: gone.append(number))
        for _ in range(4):
            seen.append(list(gone))
            await asyncio.sleep(0)
        return seen

    assert asyncio.run(run()) == [[], [0], [0, 1], [0, 1, 2]]


def test_who_comes_later_or_from_the_turn_of_another_goes_too():
    async def run():
        turnstile, gone = Turnstile(), []
        turnstile.enter(lambda: turnstile.enter(lambda: gone.append("second")))
        for _ in range(3):
            await asyncio.sleep(0)
        turnstile.enter(lambda: gone.append("third"))
        await asyncio.sleep(0)
        return gone

    assert asyncio.run(run()) == ["second", "third"]
