from __future__ import annotations

import asyncio
import threading

import pytest

from pytest_llmperf.client.aio import AsyncClient
from pytest_llmperf.client.recorder import Recording
from pytest_llmperf.client.sync import Client
from pytest_llmperf.core.backend import Backend

try:
    import uvloop
except ImportError:  # it is not made for Windows
    uvloop = None


def backend(server):
    return Backend(name="b", kind="openai", url=server.url, model="m")


def test_many_tasks_share_a_client_and_its_connections(wire, say):
    server = wire([say.whole])
    recording = Recording()

    async def run():
        async with AsyncClient(backend(server), recording) as client:
            for _ in range(3):
                replies = await asyncio.gather(*(client.chat("hi") for _ in range(20)))
                assert {reply.text for reply in replies} == {"hello world"}

    asyncio.run(run())
    assert (len(recording.exchanges), server.connections) == (60, 20)


@pytest.mark.skipif(uvloop is None, reason="uvloop is not made for this system")
def test_a_client_works_in_an_event_loop_of_uvloop(wire, say):
    server = wire([say.whole])
    recording = Recording()

    async def run():
        async with AsyncClient(backend(server), recording) as client:
            for stream in (True, False):
                assert (await client.chat("hi", stream=stream)).text == "hello world"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    assert (len(recording.exchanges), server.connections) == (2, 1)


def test_a_client_moves_to_another_event_loop(wire, say):
    server = wire([say.whole])
    recording = Recording()
    client = AsyncClient(backend(server), recording)

    async def run(*, last=False):
        assert (await client.chat("hi")).text == "hello world"
        await client.aclose() if last else None

    async def first():
        await run()
        await client.aclose()

    asyncio.run(first())
    asyncio.run(run(last=True))
    assert [exchange.failure for exchange in recording.exchanges] == [None, None]


def test_threads_share_a_synchronous_client(wire, say):
    server = wire([say.whole])
    recording = Recording()
    with Client(backend(server), recording) as client:
        threads = [threading.Thread(target=client.chat, args=("hi",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [exchange.failure for exchange in recording.exchanges] == [None] * 8
    assert all(exchange.sent_s <= exchange.first_byte_s for exchange in recording.exchanges)
