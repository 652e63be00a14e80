"""Whether the mock's memory stays flat: its resident size over a million requests.

    python benchmarks/mock_memory.py [--requests 1000000] [--connections 32]

Every request has a prompt of its own among 50 000, a third of them are streams. The first tenth fills what is
bounded (the log, the reused answers, the known heads); from there on nothing may grow.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import time
from itertools import cycle
from pathlib import Path

from mock_speed import request

from pytest_llmperf.mock.process import start_mock

MOCK = {"latency": {"ttft": "0", "itl": "0"}, "replies": [{"contains": "5", "text": "word " * 10}]}
PROMPTS = 50_000


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmRSS: this needs Linux")


class Client:
    """A closed loop on raw sockets."""

    def __init__(self, port: int, connections: int) -> None:
        self.payloads = cycle([request(stream=number % 3 == 0) % number for number in range(PROMPTS)])
        self.selector = selectors.DefaultSelector()
        self.received: dict[int, bytes] = {}
        for _ in range(connections):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(sock, selectors.EVENT_READ)
            self.ask(sock)

    def ask(self, sock: socket.socket) -> None:  # noqa: D102
        self.received[sock.fileno()] = b""
        sock.send(next(self.payloads))

    def run(self, count: int) -> None:  # noqa: D102
        while count > 0:
            for key, _ in self.selector.select(1.0):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                whole = self.received[sock.fileno()] + sock.recv(262_144)
                self.received[sock.fileno()] = whole
                if complete(whole):
                    count -= 1
                    self.ask(sock)


def complete(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    if b"chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    return len(body) >= int(length.split(b":")[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    step = options.requests // 10
    with start_mock(MOCK) as server:
        client = Client(server.port, options.connections)
        sizes = [rss_mib(server.pid)]
        print(f"{'requests':>10} {'MiB':>8} {'requests/s':>12}")
        for number in range(1, 11):
            began_s = time.perf_counter()
            client.run(step)
            sizes.append(rss_mib(server.pid))
            print(f"{number * step:10,} {sizes[-1]:8.1f} {step / (time.perf_counter() - began_s):12,.0f}")
    print(f"growth from the second tenth to the end: {sizes[-1] - sizes[2]:+.1f} MiB")


if __name__ == "__main__":
    main()
