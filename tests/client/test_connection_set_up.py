"""Connections are opened once, kept, and their set-up is told apart from the requests."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time

import pytest

from pytest_llmperf.client.aio import AsyncClient
from pytest_llmperf.client.blocking import BlockingPool
from pytest_llmperf.client.dial import dial, dial_blocking, look_up, look_up_blocking
from pytest_llmperf.client.recorder import Recording
from pytest_llmperf.client.sync import Client
from pytest_llmperf.client.target import Target
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.connections import MOST, ConnectionLog, Connections, SetUp

BODY = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)
MANY = 130


class Server:
    """Answers when as many ask at once as it waits for; counts connections and may close the idle ones."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.used: list[int] = []  #: the connection's number, for every request
        self.barrier = asyncio.Barrier(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.writers)
        self.writers.append(writer)
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            self.used.append(number)
            await self.barrier.wait()
            writer.write(ANSWER)


def against_a_server(scenario):
    """Run *scenario* with the server, a client and the log of its connections."""

    async def run():
        server, log, recording = Server(), ConnectionLog(), Recording()
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=2 * MANY)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        backend = Backend(name="b", kind="openai", url=url, model="m")
        async with AsyncClient(backend, recording, opened=log.add) as client:
            await scenario(server, client, log)
        for writer in server.writers:
            writer.close()
        listening.close()
        assert [seen.failure for seen in recording.exchanges if seen.failure] == []

    asyncio.run(run())


async def ask_at_once(server, client, count):
    server.barrier = asyncio.Barrier(count)
    await asyncio.gather(*(client.chat("hi", stream=False) for _ in range(count)))


def test_many_streams_open_a_connection_each_and_keep_it():
    async def scenario(server, client, log):
        for _ in range(3):
            await ask_at_once(server, client, MANY)
        assert log.so_far.opened == len(server.writers) == MANY
        assert sorted(server.used) == sorted(3 * list(range(MANY)))

    against_a_server(scenario)


def test_the_connection_used_last_is_used_next():
    async def scenario(server, client, log):
        await ask_at_once(server, client, 5)
        for _ in range(3):
            await ask_at_once(server, client, 1)
        assert len(set(server.used[5:])) == 1
        assert log.so_far.opened == 5

    against_a_server(scenario)


def test_idle_connections_that_the_server_closed_are_replaced_without_a_failure():
    async def scenario(server, client, log):
        await ask_at_once(server, client, MANY)
        for writer in server.writers:
            writer.close()
        await ask_at_once(server, client, MANY)
        assert log.so_far.opened == 2 * MANY

    against_a_server(scenario)


def test_what_is_opened_after_the_warm_up_is_counted():
    async def scenario(server, client, log):
        await ask_at_once(server, client, 2)
        log.measuring()
        await ask_at_once(server, client, 3)
        assert (log.so_far.opened, log.so_far.late) == (3, 1)
        assert (len(log.so_far.tcp_s), log.so_far.dns_s, log.so_far.tls_s) == (3, (), ())

    against_a_server(scenario)


@pytest.fixture(scope="module")
def authority():
    return pytest.importorskip("trustme").CA()


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_tls_is_a_phase_of_its_own(kind, authority, wire, say, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    monkeypatch.setattr("httpx.create_ssl_context", lambda *_, **__: trusting)
    server = wire([say.whole], context=context)
    log = ConnectionLog()
    asker = kind(Backend(name="b", kind="openai", url=server.url, model="m"), Recording(), opened=log.add)
    if kind is Client:
        with asker:
            asker.chat("hi")
            asker.chat("hi")
    else:

        async def twice():
            async with asker:
                await asker.chat("hi")
                await asker.chat("hi")

        asyncio.run(twice())
    assert log.so_far.opened == 1
    assert log.so_far.tls_s[0] > 0
    assert log.so_far.tcp_s[0] > 0


def dialled(addresses):
    return asyncio.run(dial(addresses))


def dialled_blocking(addresses):
    return dial_blocking(addresses, time.perf_counter() + 5)


@pytest.mark.parametrize("look", [lambda *where: asyncio.run(look_up(*where)), look_up_blocking])
def test_a_name_is_looked_up_and_an_address_is_not(look):
    addresses, dns_s = look("127.0.0.1", 80)
    assert (addresses, dns_s) == ([(socket.AF_INET, ("127.0.0.1", 80))], None)
    assert look("::1", 80) == ([(socket.AF_INET6, ("::1", 80))], None)
    addresses, dns_s = look("localhost", 80)
    assert dns_s is not None
    assert {address[1] for _, address in addresses} == {80}


@pytest.mark.parametrize("dial", [dialled, dialled_blocking])
def test_an_address_that_refuses_is_passed_over_and_all_that_refuse_are_an_error(dial):
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        there, gone = ((socket.AF_INET, one.getsockname()) for one in (listening, closed))
        with dial([gone, there]) as connected:
            assert connected.getpeername() == listening.getsockname()
        with pytest.raises(ConnectionRefusedError):
            dial([gone, gone])


def test_connections_add_up_and_their_times_are_bounded():
    one = Connections(opened=2, late=1, tcp_s=(0.1, 0.2), tls_s=(0.3,))
    assert one + one == Connections(opened=4, late=2, tcp_s=(0.1, 0.2, 0.1, 0.2), tls_s=(0.3, 0.3))
    log = ConnectionLog()
    for _ in range(MOST + 5):
        log.add(SetUp(tcp_s=0.1))
    assert (log.so_far.opened, len(log.so_far.tcp_s)) == (MOST + 5, MOST)


def target(server):
    host, port = server.getsockname()
    return Target(host=host, port=port, context=None, connect_s=5)


def test_an_address_that_does_not_answer_has_its_share_of_the_time_only(monkeypatch):
    given = []

    class Silent(socket.socket):
        def connect(self, _address):
            given.append(self.gettimeout())
            raise TimeoutError

    monkeypatch.setattr(socket, "socket", Silent)
    with pytest.raises(TimeoutError):
        dial_blocking(3 * [(socket.AF_INET, ("127.0.0.1", 9))], time.perf_counter() + 90)
    assert given == [pytest.approx(30, abs=1), pytest.approx(45, abs=1), pytest.approx(90, abs=1)]


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b""])
def test_a_kept_connection_that_said_something_or_ended_is_not_used_again(unasked):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        pool = BlockingPool(target(listening))
        kept = pool.connect()
        peer, _ = listening.accept()
        pool.give_back(kept)
        assert pool.take() is kept
        pool.give_back(kept)
        peer.sendall(unasked)
        peer.close()
        while kept.idle_and_open:
            time.sleep(0.001)
        assert pool.take() is None


def test_what_is_under_way_when_a_pool_is_closed_is_closed_when_it_is_given_back():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        pool = BlockingPool(target(listening))
        idle, under_way = pool.connect(), pool.connect()
        peers = [listening.accept()[0] for _ in range(2)]
        pool.give_back(idle)
        pool.close()
        assert peers[0].recv(1) == b""
        pool.give_back(under_way)
        assert peers[1].recv(1) == b""
        for peer in peers:
            peer.close()
