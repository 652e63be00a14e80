"""Connections are kept, and a dead one is no failed request."""

from __future__ import annotations

import pytest

from pytest_llmperf.client.reply import RequestFailed
from pytest_llmperf.core.exchange import FailureKind


def test_a_connection_is_used_again(wire, client, say):
    server = wire([say.whole])
    asker = client(server.url)
    for _ in range(3):
        asker.chat("hi")
    assert (server.connections, len(server.requests)) == (1, 3)


def test_connection_close_is_obeyed(wire, client, say):
    closing = say.whole.replace(b"\r\nTransfer", b"\r\nConnection: close\r\nTransfer")
    server = wire([closing, say.CLOSE])
    asker = client(server.url)
    asker.chat("hi")
    asker.chat("hi")
    assert server.connections == 2


def test_a_connection_that_llama_cpp_closed_while_idle_is_replaced(wire, client, say):
    advertised = say.whole.replace(b"\r\nTransfer", b"\r\nKeep-Alive: timeout=5, max=100\r\nTransfer")
    server = wire([advertised, say.CLOSE])
    asker = client(server.url)
    for _ in range(4):
        asker.chat("hi")
    assert [exchange.failure for exchange in asker.exchanges] == [None] * 4


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_reused_connection_that_dies_before_any_byte_is_tried_again_once(end, wire, client, say):
    server = wire([say.whole], [end], [say.whole])
    asker = client(server.url)
    asker.chat("one")
    asker.chat("two")
    assert [exchange.failure for exchange in asker.exchanges] == [None, None]
    assert [body["messages"][0]["content"] for body in server.bodies] == ["one", "two", "two"]


def test_a_new_connection_that_dies_is_a_failure_and_not_tried_again(wire, client, say):
    server = wire([say.CLOSE])
    asker = client(server.url)
    with pytest.raises(RequestFailed):
        asker.chat("hi")
    assert (asker.failure.kind, len(server.requests)) == (FailureKind.CUT, 1)


def test_a_reused_connection_that_dies_after_a_byte_is_a_failure(wire, client, say):
    server = wire([say.whole], [b"H", 0.02, say.CLOSE])
    asker = client(server.url)
    asker.chat("one")
    with pytest.raises(RequestFailed) as caught:
        asker.chat("two")
    assert (caught.value.failure.kind, len(server.requests)) == (FailureKind.CUT, 2)


def test_the_second_try_also_dying_is_one_failure(wire, client, say):
    server = wire([say.whole], [say.CLOSE], [say.CLOSE])
    asker = client(server.url)
    asker.chat("one")
    with pytest.raises(RequestFailed):
        asker.chat("two")
    assert [exchange.failure is None for exchange in asker.exchanges] == [True, False]


def test_a_connection_with_a_failed_answer_is_not_used_again(wire, client, say):
    broken = say.sse + say.chunk(b'data: {"error":{"message":"boom"}}\n\n')
    server = wire([broken, 0.05, say.hello + say.last], [say.whole])
    asker = client(server.url)
    with pytest.raises(RequestFailed):
        asker.chat("one")
    assert asker.chat("two").text == "hello world"
    assert server.connections == 2


def test_an_error_status_keeps_the_connection(wire, client, say):
    server = wire([say.plain({"error": "busy"}, "503 Busy")], [say.whole])
    asker = client(server.url)
    with pytest.raises(RequestFailed):
        asker.chat("one")
    asker.chat("two")
    assert server.connections == 1


def test_bytes_that_nobody_asked_for_end_the_connection(wire, client, say):
    server = wire([say.whole + b"HTTP/1.1 400 Bad Request\r\n\r\n"], [say.whole])
    asker = client(server.url)
    assert [asker.chat("hi").text for _ in range(2)] == ["hello world"] * 2
    assert server.connections == 2
