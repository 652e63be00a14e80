"""What breaks behind a relay breaks for the client too, and is never seen as an end."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import struct
import threading

import pytest
import trustme

from pytest_llmperf.core.exchange import FailureKind

RESET = "reset"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(running):
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
    connection.request("POST", "/mine/v1/chat/completions", b"{}")
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.mark.parametrize(
    "script",
    [
        [CHUNKED + b"5\r\nhello\r\n"],
        [CHUNKED + b"5\r\nhello\r\n", RESET],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"],
        [b"HTTP/1.1 200 OK\r\n\r\nhello", RESET],
        [b"HTTP/1.1 200 O"],
        [b""],
    ],
    ids=["chunked", "chunked-reset", "length", "unframed-reset", "head", "nothing"],
)
def test_a_cut_is_a_cut_for_the_client(relay, upstream, script):
    running = relay(upstream(script).url)
    with pytest.raises((http.client.HTTPException, OSError)):
        read(running)
    assert running.seen[0].failure is FailureKind.CUT


def test_a_server_that_refuses_is_not_an_answer(relay):
    running = relay(f"http://127.0.0.1:{free_port()}/v1")
    with pytest.raises((http.client.HTTPException, OSError)):
        read(running)
    assert running.seen[0].failure is FailureKind.CONNECT
    assert "connection refused" in running.seen[0].ended[0][1]


def test_a_host_that_does_not_resolve_is_told_apart(relay, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    running = relay("http://nowhere.invalid/v1")
    with pytest.raises((http.client.HTTPException, OSError)):
        read(running)
    assert running.seen[0].failure is FailureKind.DNS


def test_a_client_that_leaves_is_seen_and_the_server_is_left_too(relay, upstream):
    server = upstream([CHUNKED + b"5\r\nhello\r\n", True])
    running = relay(server.url)
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as sock:
        sock.sendall(b"POST /mine/v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        received = b""
        while b"hello" not in received:
            received += sock.recv(1000)
    assert running.seen[0].failure is FailureKind.CANCELLED
    assert server.left.wait(5)


def test_a_client_that_resets_is_seen_too(relay, upstream):
    running = relay(upstream([CHUNKED + b"5\r\nhello\r\n", True]).url)
    sock = socket.create_connection(("127.0.0.1", running.port), timeout=5)
    sock.sendall(b"POST /mine/v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    assert sock.recv(10)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    assert running.seen[0].failure is FailureKind.CANCELLED


@pytest.fixture
def tls(monkeypatch, tmp_path):
    """A server with a certificate that the relay trusts, and its port."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(listener.accept()[0], server_side=True) as sock,
        ):
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(5)
    listener.close()


def test_the_way_to_the_server_is_encrypted(relay, tls):
    running = relay(f"https://localhost:{tls}/v1")
    assert read(running) == b"ok"


def test_a_certificate_for_another_name_is_a_failure_of_tls(relay, tls):
    running = relay(f"https://127.0.0.1:{tls}/v1")
    with pytest.raises((http.client.HTTPException, OSError)):
        read(running)
    assert running.seen[0].failure is FailureKind.TLS
