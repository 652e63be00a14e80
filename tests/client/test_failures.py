"""Every failure keeps its kind, in both clients, and is recorded once."""

from __future__ import annotations

import socket

import pytest

from pytest_llmperf.client import attempt
from pytest_llmperf.client.reply import RequestFailed
from pytest_llmperf.core.backend import Timeouts
from pytest_llmperf.core.exchange import FailureKind

# Each test has one short limit: a busy machine may be slow in every other phase.
NO_CONNECTION = Timeouts(connect_s=0.2)
NO_TOKEN = Timeouts(first_token_s=0.1)
STALL = Timeouts(stall_s=0.1)


def failing(asker, **how):
    with pytest.raises(RequestFailed) as caught:
        asker.chat("hi", **how)
    assert caught.value.failure == asker.failure
    assert caught.value.exchange == asker.exchange
    assert "\n" not in asker.failure.message
    return asker.failure


def test_a_refused_connection(client):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    failure = failing(client(f"http://127.0.0.1:{port}"))
    assert failure.kind is FailureKind.CONNECT
    assert failure.message == f"http://127.0.0.1:{port}: connection refused, is the server running?"


def test_an_unknown_host(client, monkeypatch):
    def fail(*_args, **_how):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    failure = failing(client("http://nowhere.invalid:1"))
    assert (failure.kind, failure.message) == (
        FailureKind.DNS,
        "http://nowhere.invalid:1: the host name does not resolve",
    )


def test_tls_to_a_server_that_speaks_none(wire, client, say):
    server = wire([say.plain({}), say.HOLD], eager=True)
    assert failing(client(server.url.replace("http:", "https:"))).kind is FailureKind.TLS


def test_a_handshake_that_never_ends(client):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        failure = failing(client(url, timeouts=NO_CONNECTION))
    assert (failure.kind, failure.message) == (
        FailureKind.TIMEOUT_CONNECT,
        f"{url}: no connection within 0.2 s",
    )


def test_silence(wire, client, say):
    asker = client(wire([say.HOLD]).url, timeouts=NO_TOKEN)
    failure = failing(asker)
    assert (failure.kind, failure.message) == (FailureKind.TIMEOUT_FIRST_TOKEN, "no token within 0.1 s")
    assert asker.exchange.latency_s < NO_TOKEN.total_s / 2


def test_keep_alives_and_the_role_do_not_count_as_a_token(wire, client, say):
    server = wire([say.sse, say.role, *[0.02, say.comment] * 20, say.HOLD])
    assert failing(client(server.url, timeouts=NO_TOKEN)).kind is FailureKind.TIMEOUT_FIRST_TOKEN


def test_a_head_that_drips(wire, client, say):
    drops = [part for byte in say.sse for part in (bytes([byte]), 0.01)]
    assert failing(client(wire(drops).url, timeouts=NO_TOKEN)).kind is FailureKind.TIMEOUT_FIRST_TOKEN


def test_a_stall_between_tokens(wire, client, say):
    server = wire([say.sse, say.hello, *[0.02, say.comment] * 20, say.HOLD])
    asker = client(server.url, timeouts=STALL)
    failure = failing(asker)
    assert (failure.kind, failure.message) == (FailureKind.TIMEOUT_STALL, "nothing more within 0.1 s")
    assert asker.exchange.first_token_s is not None


def test_a_long_answer_at_a_steady_pace_does_not_stall(wire, client, say):
    steady = [part for _ in range(25) for part in (say.hello, 0.05)]
    server = wire([say.sse, *steady, say.stop, say.done, say.last])
    asker = client(server.url, timeouts=Timeouts(stall_s=1.0))
    asker.chat("hi")
    assert asker.exchange.latency_s > 1.0


def test_an_event_that_drips_is_a_stall(wire, client, say):
    drops = [part for byte in b"data: {" * 9 for part in (say.chunk(bytes([byte])), 0.01)]
    assert (
        failing(client(wire([say.sse, say.hello, *drops]).url, timeouts=STALL)).kind
        is FailureKind.TIMEOUT_STALL
    )


def test_an_answer_that_never_ends(wire, client, say):
    server = wire([say.sse, *[say.hello, 0.02] * 100])
    failure = failing(client(server.url, timeouts=Timeouts(total_s=0.2)))
    assert (failure.kind, failure.message) == (FailureKind.TIMEOUT_TOTAL, "not complete within 0.2 s")


def test_a_plain_answer_that_never_comes(wire, client, say):
    failure = failing(client(wire([say.HOLD]).url, timeouts=Timeouts(total_s=0.1)), stream=False)
    assert failure.kind is FailureKind.TIMEOUT_TOTAL


def test_a_plain_answer_may_take_longer_than_a_first_token(wire, client, say):
    asker = client(wire([0.15, say.plain(say.answer)]).url, timeouts=NO_TOKEN)
    assert asker.chat("hi", stream=False).text == "hello world"


def test_a_plain_answer_that_stops_half_way(wire, client, say):
    failure = failing(client(wire([say.plain(say.answer)[:-9], say.HOLD]).url, timeouts=STALL), stream=False)
    assert failure.kind is FailureKind.TIMEOUT_STALL


def test_an_error_whose_body_never_ends(wire, client, say):
    failure = failing(client(wire([say.plain({}, "500 Oops")[:-1], say.HOLD]).url, timeouts=STALL))
    assert (failure.kind, failure.status, failure.message) == (FailureKind.HTTP_STATUS, 500, "HTTP 500: {")


def test_a_status_with_its_words(wire, client, say):
    server = wire([say.plain({"error": {"message": "The model `x` does not exist."}}, "404 Not Found")])
    failure = failing(client(server.url))
    assert (failure.kind, failure.status) == (FailureKind.HTTP_STATUS, 404)
    assert failure.message == "HTTP 404: The model `x` does not exist."


@pytest.mark.parametrize("status", ["302 Found", "204 No Content", "101 Switching Protocols"])
def test_answers_that_are_no_answers(status, wire, client):
    server = wire(
        [
            f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nLocation: /x\r\nConnection: close\r\n\r\n".encode(),
            "close",
        ]
    )
    assert failing(client(server.url)).kind in {
        FailureKind.HTTP_STATUS,
        FailureKind.CUT,
        FailureKind.MALFORMED,
    }
    assert len(server.requests) == 1


def test_a_prompt_that_does_not_fit(wire, client, say):
    server = wire(
        [say.plain({"error": {"message": "m", "code": "context_length_exceeded"}}, "400 Bad Request")]
    )
    assert failing(client(server.url)).kind is FailureKind.CONTEXT_LENGTH


def test_an_error_inside_the_stream(wire, client, say):
    server = wire(
        [say.sse, say.hello, say.chunk(b'data: {"error":{"message":"boom"}}\n\n'), say.done, say.last]
    )
    failure = failing(client(server.url))
    assert (failure.kind, failure.message, failure.status) == (FailureKind.STREAM_ERROR, "boom", 200)


def test_a_content_filter(wire, client, say):
    end = say.event(delta={}, finish_reason="content_filter")
    server = wire([say.sse + say.hello + end + say.done + say.last])
    assert failing(client(server.url)).kind is FailureKind.CONTENT_FILTER


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("sent", ["nothing", "head", "half-a-head", "token", "finish", "no-terminator"])
def test_a_lost_connection_is_cut_and_never_a_success(end, sent, wire, client, say):
    data = {
        "nothing": b"",
        "half-a-head": say.sse[:20],
        "head": say.sse,
        "token": say.sse + say.hello,
        "finish": say.sse + say.hello + say.stop,
        "no-terminator": say.sse + say.hello + say.stop + say.usage,
    }[sent]
    asker = client(wire([data, 0.02, end]).url)
    assert failing(asker).kind is FailureKind.CUT
    assert asker.exchange.latency_s >= 0


def test_a_lost_connection_after_done_is_a_success(wire, client, say):
    whole = say.whole.removesuffix(say.last)
    assert client(wire([whole, say.CLOSE]).url).chat("hi").text == "hello world"


def test_a_connection_held_open_after_done_is_a_success_without_the_wait(wire, client, say, monkeypatch):
    monkeypatch.setattr(attempt, "_LINGER_S", 0.05)
    asker = client(wire([say.whole.removesuffix(say.last), say.HOLD]).url)
    assert asker.chat("hi").text == "hello world"
    assert asker.exchange.done_s == asker.exchange.chunk_s[-1]


def test_a_plain_answer_shorter_than_announced_is_cut(wire, client, say):
    failure = failing(client(wire([say.plain(say.answer)[:-5], say.CLOSE]).url), stream=False)
    assert failure.kind is FailureKind.CUT


def test_a_stream_that_ends_without_a_finish_reason_is_cut(wire, client, say):
    failure = failing(client(wire([say.sse + say.hello + say.done + say.last]).url))
    assert (failure.kind, failure.message) == (FailureKind.CUT, "the stream ended without a finish_reason")


def test_llama_cpp_python_answers_a_long_prompt_with_an_empty_stream(wire, client, say):
    assert failing(client(wire([say.sse + say.last]).url)).kind is FailureKind.CUT


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Filler: " + b"x" * 200_000 + b"\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
    ],
    ids=["ssh", "length", "chunk-size", "head-without-end", "zeros"],
)
def test_what_is_not_http_is_malformed(data, wire, client, say):
    failure = failing(client(wire([data, 0.02, say.CLOSE]).url))
    assert failure.kind is FailureKind.MALFORMED
    assert failure.message.startswith("this is not HTTP")


def test_json_that_is_broken_is_malformed(wire, client, say):
    server = wire([say.sse, say.chunk(b"data: {oops\n\n"), say.stop, say.done, say.last])
    assert failing(client(server.url)).kind is FailureKind.MALFORMED


def test_compression_that_was_not_accepted_is_said(wire, client, say):
    data = say.whole.replace(b"\r\nTransfer", b"\r\nContent-Encoding: gzip\r\nTransfer")
    failure = failing(client(wire([data]).url))
    assert (failure.kind, "gzip" in failure.message) == (FailureKind.MALFORMED, True)


def test_a_body_without_a_length_ends_with_the_connection(wire, client, say):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    body = b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'
    assert client(wire([head + body, say.CLOSE]).url).chat("hi").text == "x"


def test_an_interim_answer_is_passed_over(wire, client, say):
    assert client(wire([b"HTTP/1.1 100 Continue\r\n\r\n" + say.whole]).url).chat("hi").text == "hello world"


def test_failures_have_no_tokens_of_their_own(wire, client, say):
    asker = client(wire([say.sse + say.hello + say.last]).url)
    failing(asker)
    assert asker.exchange.tokens is None
