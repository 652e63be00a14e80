"""Reading by an epoll of our own, and by asyncio where there is none: a client must not tell them apart."""

from __future__ import annotations

import asyncio
import json
import socket
import struct

import pytest

from pytest_llmperf.mock.config import parse_config, parse_latency
from pytest_llmperf.mock.reading import make_reading
from pytest_llmperf.mock.service import Service, listen

REPLY = "x" * 20_000


@pytest.fixture(params=["epoll", "asyncio"])
def talk(request, monkeypatch):
    """Runs what a client does against a mock in the same loop."""
    if request.param == "asyncio":
        monkeypatch.setattr("pytest_llmperf.mock.server.make_reading", lambda _: None)

    def run(client):
        async def both():
            config = parse_config(
                {"latency": {"ttft": "0", "itl": "0"}, "replies": [{"regex": "", "text": REPLY}]}
            )
            service = Service(config, listen(0), token=None)
            await service.open()
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port, limit=1 << 24)
            try:
                return await asyncio.wait_for(client(service.mock, reader, writer), 20)
            finally:
                writer.close()
                service.close()
                await asyncio.sleep(0)

        return asyncio.run(both())

    return run


def request(text="a", **more):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **more}).encode()
    kind = b"content-type: application/json"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n%b\r\ncontent-length: %d\r\n\r\n"
    return head % (kind, len(body)) + body


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = (int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
    return json.loads(await reader.readexactly(length))


async def until(holds):
    while not holds():  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.001)


async def gone(mock):
    await until(lambda: not mock.peers)


def test_a_client_that_reads_late_gets_every_answer_in_order(talk):
    """More requests than are kept waiting, more answers than the system's buffers hold."""
    count = 1000

    async def client(mock, reader, writer):
        writer.transport.pause_reading()
        writer.writelines(request("a" * 4 * number) for number in range(1, count + 1))
        await until(lambda: mock.peers)
        (peer,) = mock.peers
        await until(lambda: not peer._input.is_reading() and not peer.transport.is_reading())
        writer.transport.resume_reading()
        return [(await answer(reader))["usage"]["prompt_tokens"] for _ in range(count)]

    assert talk(client) == list(range(1, count + 1))


def test_a_client_that_reads_nothing_is_not_answered_into_memory(talk):
    async def client(mock, reader, writer):
        writer.transport.pause_reading()
        writer.writelines(request("a" * number) for number in range(1000))
        await until(lambda: mock.peers)
        (peer,) = mock.peers
        await until(lambda: not peer._input.is_reading())
        for _ in range(2000):  # turns of the loop in which it would be answered
            await asyncio.sleep(0)
        return peer.transport.get_write_buffer_size()

    assert talk(client) < 10 * len(REPLY)


def test_nonsense_during_a_stream_ends_it_there(talk, caplog):
    async def client(mock, reader, writer):
        mock.state.latency = parse_latency({"ttft": "0", "itl": "5ms"}, where="x")
        writer.write(request(stream=True))
        await reader.readuntil(b"data: ")
        writer.write(b"\0nonsense\r\n\r\n")
        rest = await reader.read()
        return rest, mock.state.running

    rest, running = talk(client)
    assert (b"HTTP/1.1" in rest, b"[DONE]" in rest, running) == (False, False, 0)
    assert not caplog.records


def test_a_long_body_is_read_in_parts(talk):
    async def client(_, reader, writer):
        writer.write(request("a" * 300_000))
        return await answer(reader)

    assert talk(client)["error"]["type"] == "BadRequestError"


def test_a_client_that_says_it_is_done_is_let_go(talk):
    async def client(mock, reader, writer):
        writer.write(request())
        said = await answer(reader)
        writer.write_eof()
        rest = await reader.read()
        await gone(mock)
        return said["choices"][0]["message"]["content"], rest

    assert talk(client) == (REPLY, b"")


def test_a_client_that_resets_its_connection_is_let_go(talk):
    async def client(mock, reader, writer):
        writer.write(request())
        await answer(reader)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await gone(mock)
        return len(mock.peers)

    assert talk(client) == 0


def test_a_connection_that_the_server_closes_is_forgotten(talk):
    async def client(mock, reader, writer):
        writer.write(request().replace(b"host: x", b"connection: close"))
        await reader.read()
        await gone(mock)
        return mock._reading is not None and len(mock._reading._sources)

    assert talk(client) == 0


def test_a_server_that_ends_leaves_its_clients_without_a_word_in_the_log(talk, caplog):
    async def client(mock, reader, writer):
        writer.write(request())
        await answer(reader)
        mock.close = lambda close=mock.close: (close(), setattr(mock, "close", lambda: None))
        mock.close()
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""

    assert talk(client) == b""
    assert not caplog.records


def test_a_loop_that_watches_no_descriptors_reads_by_itself():
    class Loop:
        def add_reader(self, *_):
            raise NotImplementedError

    assert make_reading(Loop()) is None
