"""What goes through a relay goes through unchanged, and is seen."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from pytest_llmperf.core.exchange import FailureKind
from pytest_llmperf.relay.downstream import ClientConnection
from pytest_llmperf.relay.server import Route

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
STREAM = b"7\r\ndata: a\r\n4;x=1\r\n\n\n\xff\xfe\r\n0\r\nX-Trailer: t\r\n\r\n"
REQUEST = b"POST /mine/v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_a_chunked_answer_passes_byte_for_byte_with_its_framing(relay, upstream):
    running = relay(upstream([CHUNKED + b"\r\n" + STREAM, True]).url)
    head, _, body = running.ask().partition(b"\r\n\r\n")
    assert head == CHUNKED + b"Connection: close"
    assert body == STREAM


def test_the_watch_sees_the_body_without_its_framing(relay, upstream):
    running = relay(upstream([CHUNKED + b"\r\n" + STREAM, True]).url)
    running.ask(body=b'{"model": "m"}')
    (seen,) = running.seen
    assert seen.failure is None
    assert (seen.status, seen.body, seen.request.body) == (200, b"data: a\n\n\xff\xfe", b'{"model": "m"}')
    assert (seen.request.tag, seen.request.target) == ("mine", "/v1/chat/completions")
    assert seen.request.began_s <= seen.request.arrived_s <= seen.sent_s[0] <= seen.chunks[0][0]


def test_each_piece_has_the_time_at_which_it_came(relay, upstream):
    between = []

    def wait_until_seen():
        while not (running.seen and running.seen[0].chunks):
            time.sleep(0.001)
        between.append(time.perf_counter())

    first, second = b"3\r\nab\n\r\n", b"3\r\ncd\n\r\n0\r\n\r\n"
    running = relay(upstream([CHUNKED + b"\r\n" + first, wait_until_seen, second, True]).url)
    running.ask()
    stamps = [at_s for at_s, _ in running.seen[0].chunks]
    assert stamps[0] < between[0] < stamps[1]


def test_an_error_passes_untouched(relay, upstream):
    raw = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\nContent-Length: 4\r\n\r\nbusy"
    running = relay(upstream([raw, True]).url)
    answer = running.ask()
    assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\n")
    assert answer.endswith(b"\r\n\r\nbusy")
    assert running.seen[0].failure is None


def test_an_interim_answer_is_left_out(relay, upstream):
    running = relay(upstream([b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + PLAIN, True]).url)
    assert running.ask().startswith(b"HTTP/1.1 200 OK")
    assert (running.seen[0].status, running.seen[0].body) == (200, b"ok")


def test_headers_of_the_connection_stay_on_it(relay, upstream):
    server = upstream([b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok", True])
    running = relay(server.url)
    answer = running.ask("/mine/v1/models", b"", "TE: trailers", "X-Mine: 1", "Upgrade: h2c")
    sent = server.requests[0].lower()
    assert b"keep-alive" not in answer.lower()
    assert b"x-mine: 1" in sent
    assert not any(name in sent for name in (b"\r\nte:", b"\r\nupgrade:", b"\r\nconnection:", b"host: x\r\n"))
    assert f"host: 127.0.0.1:{server.port}".encode() in sent


def test_connections_are_kept_on_both_sides(relay, upstream):
    server = upstream([PLAIN, True])
    running = relay(server.url)
    request = b"POST /mine/v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as sock:
        for _ in range(3):
            sock.sendall(request)
            assert sock.recv(1000).endswith(b"ok")
    assert (len(server.requests), server.connections) == (3, 1)


def test_pipelined_requests_are_answered_in_order(relay, upstream):
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number for number in range(3)]
    running = relay(upstream(*([answer, True] for answer in answers)).url)
    one = b"GET /mine/v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /mine/v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    bodies = [
        part[-1:] for part in (one + one + last) and running.send(one + one + last).split(b"HTTP/1.1")[1:]
    ]
    assert bodies == [b"0", b"1", b"2"]


def test_a_kept_connection_that_died_is_replaced_without_a_failure(relay, upstream):
    server = upstream([PLAIN], [PLAIN, True])  # the first connection is closed after its answer
    running = relay(server.url)
    running.ask()
    running.ask()
    assert [seen.failure for seen in running.seen] == [None, None]


def test_an_answer_that_breaks_off_on_a_kept_connection_is_not_asked_for_again(relay, upstream):
    server = upstream([PLAIN, True], [b"HTTP/1.1 200 O"])
    running = relay(server.url)
    running.ask()
    with pytest.raises(OSError, match="reset"):
        running.ask()
    assert running.seen[1].failure is FailureKind.CUT
    assert (len(server.requests), server.connections) == (2, 1)


def test_a_kept_connection_on_which_nobody_was_asked_is_not_used(relay, upstream):
    answered, said = threading.Event(), threading.Event()
    late = b"HTTP/1.1 500 Late\r\nContent-Length: 0\r\n\r\n"
    server = upstream([PLAIN, lambda: answered.wait(5), late, said.set, True], [PLAIN, True])
    running = relay(server.url)
    running.ask()
    answered.set()
    assert said.wait(5)
    (kept,) = running._relay._lines["it"]._idle
    while kept.usable:
        time.sleep(0.001)
    assert running.ask().endswith(b"ok")


def test_a_large_body_arrives_whole(relay, upstream):
    server = upstream([PLAIN, True])
    running = relay(server.url)
    body = json.dumps({"prompt": "x" * 3_000_000}).encode()
    assert running.ask("/mine/v1/completions", body).endswith(b"ok")
    assert server.requests[0].endswith(body)


def test_a_large_answer_arrives_whole_at_a_slow_reader(relay, upstream):
    body = bytes(range(256)) * 40_000
    running = relay(upstream([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body, True]).url)
    assert running.ask().endswith(body)
    assert running.seen[0].body == body


def test_a_connection_goes_on_after_a_slow_reader(relay, upstream):
    """The end of an answer may come while nothing more is taken from the server."""
    size = 8 << 20
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    running = relay(upstream([head, b"a" * size, True]).url)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", running.port))
        for _ in range(3):
            sock.sendall(REQUEST)
            left = len(head) + size
            while left:
                left -= len(sock.recv(left))


def test_a_client_that_has_not_read_its_answers_waits_for_the_next():
    begun, paused = [], []

    class Forwarding:
        def start(self):
            begun.append(self)

        def pause(self, **given):
            paused.append(given["paused"])

    relay = SimpleNamespace(
        clients=set(),
        route=lambda target: Route(upstream="it", target=target),
        forward=lambda *_, **__: Forwarding(),
    )
    client = ClientConnection(relay)
    client.connection_made(asyncio.Transport())
    client.data_received(REQUEST * 2)
    client.pause_writing()
    client.finished(keep=True)
    assert (len(begun), paused) == (1, [True])
    client.resume_writing()
    assert len(begun) == 2
    client.pause_writing()
    client.resume_writing()
    assert paused == [True, True, False]


def test_a_chunked_request_arrives_with_its_length(relay, upstream):
    server = upstream([PLAIN, True])
    running = relay(server.url)
    head = b"POST /mine/v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    assert running.send(head + b"Connection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n").endswith(b"ok")
    assert b"Content-Length: 2\r\n\r\n{}" in server.requests[0]


def test_a_client_that_expects_100_continue_gets_it(relay, upstream):
    running = relay(upstream([PLAIN, True]).url)
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as sock:
        sock.sendall(
            b"POST /mine/v1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"{}")
        assert sock.recv(1000).endswith(b"ok")


def test_an_offer_of_another_protocol_is_declined(relay, upstream):
    server = upstream([PLAIN, True])
    running = relay(server.url)
    head = b"POST /mine/v1/completions HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n"
    assert running.send(head + b"Content-Length: 2\r\n\r\n{}").endswith(b"ok")
    assert server.requests[0].endswith(b"{}")


def test_head_requests_have_no_body_to_wait_for(relay, upstream):
    running = relay(upstream([b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", True]).url)
    answer = running.send(b"HEAD /mine/v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert running.seen[0].failure is None


def test_a_body_that_ends_with_the_connection_ends_so_for_the_client(relay, upstream):
    running = relay(upstream([b"HTTP/1.0 200 OK\r\n\r\nall there is"]).url)
    answer = running.send(b"GET /mine/v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.endswith(b"Connection: close\r\n\r\nall there is")
    assert running.seen[0].failure is None


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("gzip, deflate, br, zstd", "gzip, deflate"),
        ("br", "identity"),
        ("*", "identity"),
        ("gzip;q=0.5", "gzip;q=0.5"),
    ],
    ids=["some", "none", "any", "weighted"],
)
def test_only_codings_that_can_be_read_are_accepted(relay, upstream, asked, sent):
    server = upstream([PLAIN, True])
    relay(server.url).ask("/mine/v1/completions", b"{}", f"Accept-Encoding: {asked}")
    assert f"Accept-Encoding: {sent}\r\n".encode() in server.requests[0]


def test_the_placeholder_gives_way_to_the_real_key(relay, upstream):
    server = upstream([PLAIN, True])
    running = relay(server.url, authorization={"Authorization": "Bearer real"}, placeholder="llmperf-abc")
    running.ask("/mine/v1/completions", b"{}", "Authorization: Bearer llmperf-abc")
    running.ask("/mine/v1/completions", b"{}", "Authorization: Bearer own")
    running.ask("/mine/v1/completions", b"{}")
    keys = [request.partition(b"Authorization: ")[2].partition(b"\r\n")[0] for request in server.requests]
    assert keys == [b"Bearer real", b"Bearer own", b""]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/mine/v1/chat/completions", "/v1/chat/completions"),
        ("/mine/v1/models?limit=3", "/v1/models?limit=3"),
        ("/mine/api/chat", "/api/chat"),
        ("/mine/v1/api/chat", "/api/chat"),
        ("/mine/tokenize", "/tokenize"),
    ],
    ids=["openai", "query", "ollama", "ollama-below-v1", "beside"],
)
def test_a_path_finds_its_place_at_the_server(relay, upstream, target, path):
    server = upstream([PLAIN, True])
    relay(server.url).ask(target)
    assert server.requests[0].startswith(f"POST {path} HTTP/1.1".encode())


def test_the_version_and_query_of_the_server_are_kept(relay, upstream):
    server = upstream([PLAIN, True])
    base = server.url.replace("/v1", "/openai/deployments/mini?api-version=2026-01-01")
    relay(base).ask("/mine/v1/chat/completions?a=b")
    asked = b"POST /openai/deployments/mini/chat/completions?api-version=2026-01-01&a=b HTTP/1.1"
    assert server.requests[0].startswith(asked)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /other/v1/models HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /mine/v1 HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", b"431"),
        (b"POST /mine/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n", b"413"),
        (REQUEST * 17, b"400"),
    ],
    ids=["a stranger's path", "no HTTP", "a long head", "a long body", "too many at once"],
)
def test_what_the_relay_does_not_take_it_answers_itself(relay, upstream, raw, status):
    server = upstream([PLAIN, True])
    running = relay(server.url)
    assert running.send(raw).split(b" ")[1] == status
    assert not server.requests


def test_garbage_passes_too_and_is_seen_as_such(relay, upstream):
    running = relay(upstream([b"SSH-2.0-OpenSSH_9\r\n\r\n", True]).url)
    assert running.ask() == b"SSH-2.0-OpenSSH_9\r\n\r\n"
    assert running.seen[0].failure is FailureKind.MALFORMED
