"""A call that its caller gives up is recorded as such, and its connection is closed."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pytest_llmperf.client.aio import AsyncClient
from pytest_llmperf.client.blocking import BlockingConnection
from pytest_llmperf.client.recorder import Recording
from pytest_llmperf.client.sync import Client
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.exchange import FailureKind


def backend(server):
    return Backend(name="b", kind="openai", url=server.url, model="m")


async def cancelled(server, recording, came):
    """Ask, and give up when the server says so."""
    async with AsyncClient(backend(server), recording) as client:
        asked = asyncio.ensure_future(client.chat("hi"))
        assert await asyncio.to_thread(came.wait, 10)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked


def test_a_cancelled_task_is_recorded_and_hangs_up(wire, say, taken):
    came, recording = threading.Event(), Recording()
    server = wire([say.sse + say.hello, taken, came.set, say.HOLD])
    asyncio.run(cancelled(server, recording, came))
    (seen,) = recording.exchanges
    assert seen.failure.kind is FailureKind.CANCELLED
    assert seen.first_token_s is not None
    assert server.gone.wait(5)


def test_pieces_held_back_until_a_task_was_cancelled_are_told(wire, say, taken):
    came, recording = threading.Event(), Recording()
    server = wire([say.sse, taken, say.hello, taken, say.hello, taken, came.set, say.HOLD])
    asyncio.run(cancelled(server, recording, came))
    (seen,) = recording.exchanges
    assert seen.failure.kind is FailureKind.CANCELLED
    assert len(seen.chunk_s) == 2


def test_a_task_cancelled_while_connecting_is_recorded(monkeypatch):
    recording = Recording()

    async def run():
        loop = asyncio.get_running_loop()

        async def never(*_args, **_how):
            await loop.create_future()

        monkeypatch.setattr(loop, "sock_connect", never)
        async with AsyncClient(
            Backend(name="b", kind="openai", url="http://127.0.0.1:9", model="m"), recording
        ) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.chat("hi"), 0.02)

    asyncio.run(run())
    assert [seen.failure.kind for seen in recording.exchanges] == [FailureKind.CANCELLED]


def test_ctrl_c_is_recorded_and_hangs_up(wire, say, monkeypatch):
    server = wire([say.sse, say.hello, say.HOLD])
    recording = Recording()
    read = BlockingConnection.read
    received = []

    def interrupted(self, *args, **how):
        if any(b"hello" in data for (_, data), *_ in received):
            raise KeyboardInterrupt
        received.append(read(self, *args, **how))
        return received[-1]

    monkeypatch.setattr(BlockingConnection, "read", interrupted)
    with Client(backend(server), recording) as client, pytest.raises(KeyboardInterrupt):
        client.chat("hi")
    assert [seen.failure.kind for seen in recording.exchanges] == [FailureKind.CANCELLED]
    assert server.gone.wait(5)
