"""The HTTP parser of the asynchronous client: recordings cut at every byte, and what servers get wrong."""

from __future__ import annotations

import asyncio
import ssl
import time
import weakref
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.client import http
from pytest_llmperf.client.http import Connection, Head, HttpError, Pool, ResponseParser
from pytest_llmperf.client.target import Target
from pytest_llmperf.client.turnstile import Turnstile

RECORDINGS = [
    path
    for path in sorted((Path(__file__).parent.parent / "data" / "wire").glob("*/*.resp"))
    if path.stat().st_size < 10_000
]


def parse(*pieces):
    """Status, content type, body, and whether it was complete."""
    parser = ResponseParser()
    heads, bodies = zip(*map(parser.feed, pieces), strict=True)
    parser.close()
    (head,) = filter(None, heads)
    return head.status, head.headers.get("content-type"), b"".join(bodies), parser.complete


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recording_cut_anywhere_is_the_same_answer(path):
    data = path.read_bytes()
    whole = parse(data)
    assert whole[3]
    assert [i for i in range(len(data)) if parse(data[:i], data[i:]) != whole] == []
    assert parse(*(data[i:j] for i, j in pairwise(range(len(data) + 1)))) == whole


@pytest.mark.parametrize(
    ("data", "complete", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", True, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", False, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True, True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", True, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", False, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", True, False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", True, False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", True, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!", True, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nX: 1\r\n\r\nx", True, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi!", True, False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False, False),
        (b"HTTP/1.1 200 OK\r\n", False, False),
    ],
    ids=[
        "length",
        "short",
        "empty",
        "no-content",
        "chunked",
        "chunked-cut",
        "close",
        "http-1.0",
        "interim",
        "extra",
        "pipelined",
        "extra-after-close",
        "only-interim",
        "half-a-head",
    ],
)
def test_where_an_answer_ends_and_what_becomes_of_the_connection(data, complete, reusable):
    parser = ResponseParser()
    _, body = parser.feed(data)
    assert (parser.complete, parser.reusable) == (complete, reusable)
    assert body in {b"hi", b"h", b""}


def test_a_body_without_a_length_ends_with_the_connection():
    parser = ResponseParser()
    assert parser.feed(b"HTTP/1.1 200 OK\r\n\r\nhi") == (Head(200, {}), b"hi")
    assert not parser.complete
    parser.close()
    assert (parser.complete, parser.reusable) == (True, False)


@pytest.mark.parametrize(
    "data",
    [b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\n\r\n"],
    ids=["ssh", "endless-head", "upgrade"],
)
def test_what_is_not_http_is_refused(data):
    with pytest.raises(HttpError):
        ResponseParser().feed(data)


@given(pieces=st.lists(st.binary(max_size=40), max_size=5))
def test_random_bytes_are_refused_or_read_but_never_a_crash(pieces):
    parser = ResponseParser()
    try:
        for piece in pieces:
            parser.feed(piece)
    except HttpError:
        return
    parser.close()
    assert not parser.complete


def arrive(connection, data):
    """What an event loop does when *data* can be read."""
    connection.get_buffer(-1)[: len(data)] = data
    connection.buffer_updated(len(data))


class FakeTransport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.paused = False
        self.aborted = False

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def is_closing(self):
        return self.aborted

    def abort(self):
        self.aborted = True


def test_a_flood_is_not_buffered_without_limit(monkeypatch):
    monkeypatch.setattr(http, "_MAX_BUFFERED_BYTES", 10)

    async def run():
        connection, transport = Connection(), FakeTransport()
        connection.connection_made(transport)
        arrive(connection, b"x" * 6)
        assert not transport.paused
        arrive(connection, b"x" * 6)
        assert transport.paused
        assert [len(data) for _, data in await connection.read(0)] == [6, 6]
        assert not transport.paused
        arrive(connection, b"x" * 6)
        assert not transport.paused

    asyncio.run(run())


def test_a_flood_wakes_a_reader_of_a_stream(monkeypatch):
    monkeypatch.setattr(http, "_MAX_BUFFERED_BYTES", 10)

    async def run():
        connection = Connection()
        connection.connection_made(FakeTransport())
        connection.hold_back(holding=True)
        reading = asyncio.ensure_future(connection.read(time.perf_counter() + 60))
        await asyncio.sleep(0)
        arrive(connection, b"x" * 11)
        assert len(await asyncio.wait_for(reading, 5)) == 1

    asyncio.run(run())


def test_who_has_read_it_all_is_not_let_through_for_it_again():
    """Nothing read would be taken for the end of the connection."""

    async def run():
        connection, turnstile = Connection(), Turnstile()
        connection._turnstile = turnstile
        turnstile.enter(lambda: None)  # somebody is before it
        arrive(connection, b"x")
        arrive(connection, b"y")
        assert [data for _, data in await connection.read(0)] == [b"x", b"y"]
        reading = asyncio.ensure_future(connection.read(time.perf_counter() + 60))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not reading.done()
        arrive(connection, b"z")
        return [data for _, data in await asyncio.wait_for(reading, 5)]

    assert asyncio.run(run()) == [b"z"]


def test_bytes_before_the_end_are_read_before_it_is_told():
    async def run():
        connection = Connection()
        connection.connection_made(FakeTransport())
        arrive(connection, b"x")
        connection.connection_lost(ConnectionResetError("reset"))
        assert [data for _, data in await connection.read(0)] == [b"x"]
        with pytest.raises(ConnectionResetError):
            await connection.read(0)

    asyncio.run(run())


def test_a_connection_that_heard_something_unasked_is_not_taken():
    async def run():
        pool = Pool(Target(host="h", port=1, context=None, connect_s=1))
        assert pool.take() is None
        connection, transport = Connection(), FakeTransport()
        connection.connection_made(transport)
        pool.give_back(connection)
        arrive(connection, b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        assert pool.take() is None
        assert transport.aborted

    asyncio.run(run())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    trustme = pytest.importorskip("trustme")
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return folder / "ca.pem", context


def test_tls_with_a_certificate_that_is_trusted(certificate, wire, client, say, monkeypatch):
    authority, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    server = wire([say.whole], context=context)
    asker = client(server.url)
    assert [asker.chat("hi").text for _ in range(2)] == ["hello world"] * 2
    assert server.connections == 1
    assert asker.exchanges[0].sent_s <= asker.exchanges[0].first_byte_s


def test_tls_with_a_certificate_that_is_not_trusted(certificate, wire, client, say):
    server = wire([say.whole], context=certificate[1])
    asker = client(server.url)
    with pytest.raises(Exception, match=r"tls: https://127\.0\.0\.1:\d+: TLS: .*(self.signed|issuer)"):
        asker.chat("hi")


@pytest.mark.parametrize("before_s", [3600.0, 0.005], ids=["longer", "shorter"])
def test_a_wait_ends_when_it_should_whatever_the_one_before_allowed(before_s):
    async def run():
        connection = Connection()
        first = asyncio.ensure_future(connection.read(time.perf_counter() + before_s))
        await asyncio.sleep(0)
        arrive(connection, b"x")
        assert [data for _, data in await first] == [b"x"]
        until_s = time.perf_counter() + 0.02
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.read(until_s), 10)
        assert time.perf_counter() >= until_s

    asyncio.run(run())


def test_a_closed_connection_leaves_no_timer():
    async def run():
        connection = Connection()
        first = asyncio.ensure_future(connection.read(time.perf_counter() + 3600))
        await asyncio.sleep(0)
        connection.connection_lost(None)
        assert await first == []
        return [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]

    assert asyncio.run(run()) == []


@pytest.mark.parametrize("head", [b"Content-Length: 2\r\n", b""], ids=["with-length", "until-closed"])
def test_an_answer_leaves_nothing_to_the_garbage_collector_whose_pauses_would_look_like_latency(head):
    parser = ResponseParser()
    alive = weakref.ref(parser)
    parser.feed(b"HTTP/1.1 200 OK\r\n" + head + b"\r\nhi")
    parser.close()
    del parser
    assert alive() is None
