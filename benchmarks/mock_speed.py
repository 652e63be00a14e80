"""How many requests a second the mock answers, beside the Python servers people would use.

    python benchmarks/mock_speed.py [--seconds 2] [--connections 32] [--rounds 3]

uvicorn (uvloop, httptools), granian and aiohttp are measured where they are installed, each twice (see
`peers/fake_openai.py`): "made" is a fake OpenAI server as one writes it for an afternoon, "ready" parses the
request and sends bytes that were made before. The mock does everything it does for a user: checks, rules,
tokens, usage, the log, metrics. It may reuse what it wrote for the same request before; "new prompts" asks
it something else every time, which makes no difference to the others.

A server runs on one core and the client on another, one server after another in every round. Requests/s is
what the client saw. It falls short of what a server could do where the client is the slower of the two, and
a server that waits for its client pays for going to sleep and waking up: the fastest servers
are shown slower than they are, in both columns.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, repeat
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
SECTION = {"latency": {"ttft": "0", "itl": "0"}, "replies": [{"regex": "", "text": "cat " * 30 + "cat"}]}


@dataclass(frozen=True, slots=True)
class Server:
    """One row of the table."""

    command: list[str]  #: {port} is filled in
    new_prompts: bool = False  #: no prompt comes twice
    environment: dict[str, str] = field(default_factory=dict)


def servers(folder: Path) -> dict[str, Server]:
    config = folder / "speed.yaml"
    config.write_text(json.dumps({"mock": SECTION}), encoding="utf-8")
    python = sys.executable
    mock = [python, "-m", "pytest_llmperf.mock", "--config", str(config), "--port", "{port}"]
    found = {"mock": Server(mock), "mock, new prompts": Server(mock, new_prompts=True)}
    peers = {
        "uvicorn": [python, "-m", "uvicorn", "fake_asgi:app", "--port", "{port}", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"],  # noqa: E501
        "granian": [python, "-m", "granian", "--interface", "asgi", "--port", "{port}", "--no-access-log", "--log-level", "error", "fake_asgi:app"],  # noqa: E501
        "aiohttp": [python, str(PEERS / "fake_aiohttp.py"), "{port}"],
    }  # fmt: skip
    for work in ("ready", "made"):
        for name, command in peers.items():
            if importlib.util.find_spec(name):
                found[f"{name}, {work}"] = Server(command, environment={"FAKE": work})
    return found


def request(*, stream: bool) -> bytes:
    """A request, with a place for a number of eight digits in its prompt."""
    content = "how fast are you, on one core %08d"
    body = {"model": "mock", "messages": [{"role": "user", "content": content}]}
    data = json.dumps(body | ({"stream": True} if stream else {})).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(data % 0), data)
    )


class Client:
    """Closed loop on raw sockets: the next request of a connection follows its answer.

    It does as little as it can: an answer as long as the last one is whole, any other is looked at closely.
    """

    def __init__(self, port: int, connections: int, *, stream: bool, numbers: Iterator[int]) -> None:
        self.payload = request(stream=stream)
        self.numbers = numbers  # in the prompts
        self.stream = stream
        self.ready = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self.received: dict[int, bytes] = {}
        self.length = 0  # of the last whole answer
        self.last = b""
        for _ in range(connections):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.ready.register(sock, select.EPOLLIN)
            self.sockets[sock.fileno()] = sock

    def run(self, seconds: float) -> tuple[int, float]:
        """(answers, seconds)."""
        done = 0
        for sock in self.sockets.values():
            sock.send(self.payload % next(self.numbers))
        start = time.perf_counter()
        while (now := time.perf_counter()) < start + seconds:
            for number, _ in self.ready.poll(0.1):
                sock = self.sockets[number]
                data = sock.recv(65536)
                if number in self.received or len(data) != self.length:
                    data = self.received.pop(number, b"") + data
                    if not self.whole(data):
                        self.received[number] = data
                        continue
                if not data.startswith(b"HTTP/1.1 200"):
                    raise SystemExit(f"not an answer: {data[:300]!r}")
                sock.send(self.payload % next(self.numbers))
                done += 1
                self.last = data
        for sock in self.sockets.values():
            sock.close()
        self.ready.close()
        return done, now - start

    def whole(self, data: bytes) -> bool:
        """Whether *data* is all of an answer."""
        if not data:
            raise SystemExit("the server closed a connection")
        if self.stream:
            return data.endswith(b"0\r\n\r\n")
        head, end, body = data.partition(b"\r\n\r\n")
        lengths = [
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        if not end or len(body) < lengths[0]:
            return False
        self.length = len(data)
        return True


def tree(pid: int) -> list[int]:
    """A process and its descendants (granian works in a child)."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        children = []
    return [pid, *(one for child in children for one in tree(int(child)))]


def cpu_s(pid: int) -> float:
    ticks = 0
    for one in tree(pid):
        parts = Path(f"/proc/{one}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(parts[11]) + int(parts[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(
    server: Server, folder: Path, *, stream: bool, seconds: float, connections: int
) -> tuple[float, float]:
    """Requests per second, and seconds of the server's processor for each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cores = sorted(os.sched_getaffinity(0))
    process = subprocess.Popen(
        ["taskset", "-c", str(cores[-1]), *(part.format(port=port) for part in server.command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{PEERS}", **server.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.sched_setaffinity(0, {cores[0]})
    try:
        wait_for(port)
        numbers = count() if server.new_prompts else repeat(0)
        Client(port, connections, stream=stream, numbers=numbers).run(0.5)  # warm up
        before_s = cpu_s(process.pid)
        client = Client(port, connections, stream=stream, numbers=numbers)
        done, wall_s = client.run(seconds)
        used_s = cpu_s(process.pid) - before_s
        if client.last.count(b"cat") < 31:
            raise SystemExit(f"not the answer that was asked for: {client.last[:500]!r}")
        return done / wall_s, used_s / done
    finally:
        os.sched_setaffinity(0, cores)
        process.terminate()
        process.wait(10)


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("a server does not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name begins with this")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/llmperf-mock-speed"))
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    chosen = {name: one for name, one in servers(options.folder).items() if name.startswith(options.only)}
    for stream in (False, True):
        results: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
        for _ in range(options.rounds):
            for name, server in chosen.items():
                seen = measure(
                    server,
                    options.folder,
                    stream=stream,
                    seconds=options.seconds,
                    connections=options.connections,
                )
                results[name].append(seen)
        print(f"\n{'32-chunk stream' if stream else 'plain answer'}, {options.connections} connections")
        print(f"{'server':18} {'requests/s':>12} {'CPU us/request':>16} {'requests per CPU second':>25}")
        for name, pairs in results.items():
            rate = statistics.median(pair[0] for pair in pairs)
            cost = statistics.median(pair[1] for pair in pairs)
            print(f"{name:18} {rate:12,.0f} {cost * 1e6:16.1f} {1 / cost:25,.0f}", flush=True)


if __name__ == "__main__":
    main()
