"""What the relay itself adds to a request, measured on this machine when it starts."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pytest_llmperf.relay.echo import ANSWER

_WARM_UP = 20
_PAIRS = 200
_BODY = b'{"model": "m", "messages": [{"role": "user", "content": "merhaba"}]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Round trip through the relay minus round trip without it, in seconds."""

    p50_s: float
    p99_s: float

    def __str__(self) -> str:
        return f"{self.p50_s * 1e3:.2f} ms at p50, {self.p99_s * 1e3:.2f} ms at p99"


class Echo:
    """A server that answers at once, in a process of its own as any server is."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("echo.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # it ends with its input


def measure_cost(direct_port: int, relay_port: int, path: str) -> Cost:
    """The difference over requests that are sent both ways in turns, one after another."""
    with _connected(direct_port) as direct, _connected(relay_port) as relayed:
        straight, around = [], []
        for number in range(_WARM_UP + _PAIRS):
            pair = _round_trip_s(direct, "/v1"), _round_trip_s(relayed, path)
            if number >= _WARM_UP:
                straight.append(pair[0])
                around.append(pair[1])
    p50_s = statistics.median(around) - statistics.median(straight)
    p99_s = statistics.quantiles(around, n=100)[98] - statistics.quantiles(straight, n=100)[98]
    return Cost(p50_s=max(p50_s, 0.0), p99_s=max(p99_s, p50_s, 0.0))


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _round_trip_s(connection: socket.socket, path: str) -> float:
    head = f"POST {path}/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(_BODY)}\r\n\r\n"
    request = head.encode() + _BODY
    started_s = time.perf_counter()
    connection.sendall(request)
    received = b""
    while len(received) < len(ANSWER):
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("the relay closed the connection")
        received += data
    return time.perf_counter() - started_s
