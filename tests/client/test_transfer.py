"""One answer that arrives in pieces, which are read when it may be over."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from pytest_llmperf.client.attempt import Attempt
from pytest_llmperf.client.http import Connection
from pytest_llmperf.client.transfer import transfer
from pytest_llmperf.core.backend import Timeouts
from pytest_llmperf.core.exchange import FailureKind
from pytest_llmperf.wire.dialect import Call
from pytest_llmperf.wire.dialects import dialect

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CALL = Call(model="m", prompt=[{"role": "user", "content": "hi"}])
LIMITS = Timeouts(first_token_s=10.0, stall_s=1.0, total_s=100.0)


def chunk(text: str) -> bytes:
    data = f"data: {text}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


TOKEN = chunk('{"choices":[{"index":0,"delta":{"content":"a"}}]}')
STOP = chunk('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
DONE = chunk("[DONE]")
END = b"0\r\n\r\n"


class Batches(Connection):
    """A connection on which pieces arrived, each at its moment, by the time that somebody looks."""

    def __init__(self, *batches):
        super().__init__()
        self._batches = list(batches)
        self.expecting = False

    @property
    def idle_and_open(self):
        return True

    def expect(self):
        self.expecting = True

    def write(self, _data):
        self.began_s = time.perf_counter()

    async def read(self, _until_s):
        if not self._batches:
            raise TimeoutError
        return [(self.began_s + at_s, data) for at_s, data in self._batches.pop(0)]


def carried(*batches, limits=LIMITS):
    """What an attempt makes of the *batches*, and whether the connection is kept."""

    async def run():
        now_s = time.perf_counter()
        attempt = Attempt(CALL, dialect("openai"), limits, due_s=now_s, began_s=now_s)
        connection = Batches(*batches)
        kept = await asyncio.wait_for(transfer(connection, b"", attempt), 5)
        assert connection.expecting  # a kept connection's last answer may have been a stream
        return attempt.exchange(), kept, connection.began_s

    return asyncio.run(run())


def test_every_piece_has_its_own_moment():
    pieces = [(0.5, HEAD), (1.0, TOKEN), (1.5, TOKEN), (2.0, STOP + DONE + END)]
    exchange, kept, began_s = carried(pieces)
    assert [at_s - began_s for at_s in exchange.chunk_s] == pytest.approx([1.0, 1.5])
    assert exchange.done_s - began_s == pytest.approx(2.0)
    assert (exchange.failure, kept) == (None, True)


def test_tokens_that_came_in_one_piece_have_its_moment_each():
    pieces = [(0.5, HEAD), (1.0, TOKEN), (1.5, TOKEN + TOKEN), (2.0, TOKEN), (2.5, STOP + DONE + END)]
    exchange, _, began_s = carried(pieces)
    assert [at_s - began_s for at_s in exchange.chunk_s] == pytest.approx([1.0, 1.5, 1.5, 2.0])


def test_an_empty_delta_among_others_is_no_token_wherever_it_stands():
    empty = TOKEN.replace(b'"a"', b'""').replace(b"%x" % len(TOKEN[4:-2]), b"%x" % (len(TOKEN[4:-2]) - 1))
    pieces = [(0.5, HEAD + empty), (1.0, TOKEN), (1.5, TOKEN + empty + TOKEN), (1.6, empty), (1.7, TOKEN)]
    exchange, _, began_s = carried([*pieces, (2.0, STOP + DONE + END)])
    assert [at_s - began_s for at_s in exchange.chunk_s] == pytest.approx([1.0, 1.5, 1.5, 1.7])
    assert exchange.first_token_s == exchange.chunk_s[0]


def test_a_stall_between_two_pieces_is_one_also_when_they_are_read_together():
    exchange, kept, _ = carried([(0.0, HEAD), (0.5, TOKEN), (1.6, TOKEN), (1.7, STOP + DONE + END)])
    assert exchange.failure.kind is FailureKind.TIMEOUT_STALL
    assert not kept


def test_many_short_waits_are_no_stall():
    tokens = [(0.9 * i, TOKEN) for i in range(1, 20)]
    exchange, _, _ = carried([(0.0, HEAD), *tokens, (18.0, STOP + DONE + END)])
    assert exchange.failure is None


def test_a_first_token_may_take_longer_than_a_later_one():
    exchange, _, _ = carried([(0.0, HEAD), (9.9, TOKEN), (10.0, STOP + DONE + END)])
    assert exchange.failure is None


def test_a_first_token_that_came_too_late_is_one_also_when_it_was_read_later():
    exchange, _, _ = carried([(0.0, HEAD), (10.1, TOKEN), (10.2, STOP + DONE + END)])
    assert exchange.failure.kind is FailureKind.TIMEOUT_FIRST_TOKEN


def test_the_whole_may_take_too_long_between_two_looks():
    tokens = [(0.9 * i, TOKEN) for i in range(1, 20)]
    exchange, _, _ = carried([(0.0, HEAD), *tokens], limits=replace(LIMITS, total_s=5.0))
    assert exchange.failure.kind is FailureKind.TIMEOUT_TOTAL


class Woken:
    """A connection that has a reader: what wakes it?"""

    def __init__(self, *pieces, expecting=False):
        self._pieces, self._expecting = pieces, expecting

    def by(self, *, until_s=0.05):
        """The pieces that the reader got before *until_s*, None when nothing woke it."""

        async def run():
            connection = Connection()
            connection.hold_back(holding=True)
            if self._expecting:
                connection.expect()
            reading = asyncio.ensure_future(connection.read(time.perf_counter() + 60))
            await asyncio.sleep(0)
            for piece in self._pieces:
                connection.received(piece, time.perf_counter())
            done, _ = await asyncio.wait([reading], timeout=until_s)
            reading.cancel()
            return b"".join(data for _, data in reading.result()) if done else None

        return asyncio.run(run())


@pytest.mark.parametrize(
    "pieces",
    [(TOKEN, END), (TOKEN, END[:3], END[3:]), (TOKEN, *(END[i : i + 1] for i in range(5))), (TOKEN + END,)],
)
def test_the_end_of_a_chunked_answer_wakes_the_reader_however_it_is_cut(pieces):
    assert Woken(*pieces).by() == TOKEN + END


@pytest.mark.parametrize("said", ["[DONE]", '{"error":{"message":"no"}}', '{"message":{},"done":true}'])
def test_an_announced_end_or_error_wakes_the_reader(said):
    assert Woken(TOKEN, chunk(said)).by() is not None


def test_a_token_wakes_no_reader_of_a_stream():
    assert Woken(TOKEN, TOKEN).by() is None


def test_a_quoted_error_in_generated_text_wakes_no_reader():
    assert Woken(chunk(r'{"choices":[{"delta":{"content":"an \"error\""}}]}')).by() is None


@pytest.mark.parametrize("pieces", [(HEAD,), (HEAD + TOKEN,), (HEAD.replace(b"Tr", b"tr"), TOKEN)])
def test_the_beginning_of_a_chunked_answer_wakes_no_reader(pieces):
    assert Woken(*pieces, expecting=True).by() is None


@pytest.mark.parametrize("pieces", [(HEAD + TOKEN + END,), (HEAD, TOKEN, END), (HEAD, END[:3], END[3:])])
def test_the_end_of_a_chunked_answer_wakes_the_reader_whose_head_was_not_read_yet(pieces):
    assert Woken(*pieces, expecting=True).by() == b"".join(pieces)


@pytest.mark.parametrize(
    "head",
    [
        HEAD[:40],
        HEAD[:-2],
        HEAD.replace(b"chunked", b"gzip, chunked"),
        HEAD.replace(b"Transfer-Encoding: chunked", b"Content-Length: 10"),
        HEAD.replace(b"Transfer", b"X-Transfer"),
        HEAD.replace(b"chunked", b"chunked-or-not"),
        HEAD.replace(b"200 OK", b"204 No Content"),
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
def test_every_other_beginning_of_an_answer_wakes_the_reader(head):
    assert Woken(head, expecting=True).by() == head


def test_pieces_that_were_held_back_are_no_timeout():
    async def run():
        connection = Connection()
        connection.hold_back(holding=True)
        reading = asyncio.ensure_future(connection.read(time.perf_counter() + 0.02))
        await asyncio.sleep(0)
        connection.received(TOKEN, time.perf_counter())
        return [data for _, data in await reading]

    assert asyncio.run(run()) == [TOKEN]
