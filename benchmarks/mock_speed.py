"""How many requests a second the mock answers, beside the Python servers people would use.

    python benchmarks/mock_speed.py [--seconds 3] [--connections 32] [--rounds 3]

uvicorn (uvloop, httptools), granian and aiohttp are measured where they are installed. They get the easier
task: parse the request's JSON, answer with bytes that were made before. The mock does everything it
does for a user: rules, tokens, usage, the log. It may reuse what it wrote for the same request before;
"new prompts" asks it something else every time. All run on one core, one after another in
every round; the client runs on another. The client can be the bottleneck, so the CPU time that
the server spent per request is the number to compare; requests/s is what was seen.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEW_PROMPTS = 2000  # more than the mock remembers
ANSWER = {
    "id": "chatcmpl-0123456789abcdef",
    "object": "chat.completion",
    "created": 1,
    "model": "mock",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "word " * 31}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 8, "total_tokens": 40, "completion_tokens": 32},
}
CHUNK = {
    "id": "chatcmpl-0123456789abcdef",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "mock",
    "choices": [{"index": 0, "delta": {"content": "word "}, "logprobs": None, "finish_reason": None}],
}
APP = f"""
import json
BODY = {json.dumps(ANSWER)!r}.encode()
CHUNKS = [b"data: " + {json.dumps(CHUNK)!r}.encode() + b"\\n\\n"] * 32 + [b"data: [DONE]\\n\\n"]
JSON = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
SSE = [(b"content-type", b"text/event-stream")]
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if json.loads(body).get("stream"):
        await send({{"type": "http.response.start", "status": 200, "headers": SSE}})
        for chunk in CHUNKS:
            await send({{"type": "http.response.body", "body": chunk, "more_body": True}})
        await send({{"type": "http.response.body", "body": b""}})
    else:
        await send({{"type": "http.response.start", "status": 200, "headers": JSON}})
        await send({{"type": "http.response.body", "body": BODY}})
"""
AIOHTTP = (
    APP
    + """
import sys
from aiohttp import web
async def handle(request):
    if (await request.json()).get("stream"):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for chunk in CHUNKS:
            await response.write(chunk)
        await response.write_eof()
        return response
    return web.Response(body=BODY, content_type="application/json")
application = web.Application()
application.router.add_post("/v1/chat/completions", handle)
web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""
)
MOCK = {"latency": {"ttft": "0", "itl": "0"}, "replies": [{"regex": "", "text": "word " * 30 + "word"}]}


def commands(folder: Path) -> dict[str, list[str]]:
    (folder / "speed_app.py").write_text(APP, encoding="utf-8")
    (folder / "speed_aiohttp.py").write_text(AIOHTTP, encoding="utf-8")
    (folder / "speed.yaml").write_text(json.dumps({"mock": MOCK}), encoding="utf-8")
    python = sys.executable
    mock = [
        python,
        "-m",
        "pytest_llmperf.mock",
        "--config",
        str(folder / "speed.yaml"),
        "--port",
        "{port}",
    ]
    found = {"mock": mock, "new prompts": mock}
    others = {
        "uvicorn": [python, "-m", "uvicorn", "speed_app:app", "--port", "{port}", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"],  # noqa: E501
        "granian": [python, "-m", "granian", "--interface", "asgi", "--port", "{port}", "--no-access-log", "--log-level", "error", "speed_app:app"],  # noqa: E501
        "aiohttp": [python, "speed_aiohttp.py", "{port}"],
    }  # fmt: skip
    return found | {name: command for name, command in others.items() if importlib.util.find_spec(name)}


def request(number: int, *, stream: bool) -> bytes:
    body = {
        "model": "mock",
        "messages": [{"role": "user", "content": f"how fast are you, on one core {number:5d}"}],
    }
    data = json.dumps(body | ({"stream": True} if stream else {})).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(data), data)
    )


class Client:
    """Closed loop on raw sockets: the next request of a connection follows its answer."""

    def __init__(self, port: int, connections: int, *, stream: bool, prompts: int) -> None:
        self.payloads = cycle([request(number, stream=stream) for number in range(prompts)])
        self.stream = stream
        self.selector = selectors.DefaultSelector()
        self.received: dict[int, bytearray] = {}
        self.expected = 0
        for _ in range(connections):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(sock, selectors.EVENT_READ)
            self.received[sock.fileno()] = bytearray()

    def run(self, seconds: float) -> tuple[int, float]:  # noqa: D102
        done = 0
        for key in self.selector.get_map().values():
            key.fileobj.send(next(self.payloads))
        start = time.perf_counter()
        while (now := time.perf_counter()) < start + seconds:
            for key, _ in self.selector.select(0.1):
                done += self.read(key.fileobj)
        self.close()
        return done, now - start

    def read(self, sock: socket.socket) -> int:  # noqa: D102
        data = sock.recv(262144)
        if not data:
            raise SystemExit("the server closed a connection")
        whole = self.received[sock.fileno()]
        whole += data
        if not self.complete(whole):
            return 0
        if not whole.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"not an answer: {bytes(whole[:300])!r}")
        whole.clear()
        sock.send(next(self.payloads))
        return 1

    def complete(self, whole: bytearray) -> bool:  # noqa: D102
        if self.stream:
            return whole.endswith(b"0\r\n\r\n")
        if not self.expected:
            head, _, _ = bytes(whole).partition(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            self.expected = len(head) + 4 + int(length.split(b":")[1])
        return len(whole) >= self.expected

    def close(self) -> None:  # noqa: D102
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()


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
    command: list[str], folder: Path, *, stream: bool, seconds: float, connections: int, prompts: int
) -> tuple[float, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [part.format(port=port) for part in command]
    cores = sorted(os.sched_getaffinity(0))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    server = subprocess.Popen(
        ["taskset", "-c", str(cores[-1]), *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.sched_setaffinity(0, {cores[0]})
    try:
        wait_for(port)
        Client(port, connections, stream=stream, prompts=prompts).run(0.5)  # warm up
        before = cpu_s(server.pid)
        done, wall_s = Client(port, connections, stream=stream, prompts=prompts).run(seconds)
        return done / wall_s, (cpu_s(server.pid) - before) / max(1, done)
    finally:
        os.sched_setaffinity(0, cores)
        server.terminate()
        server.wait(10)


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
    parser.add_argument("--folder", type=Path, default=Path("/tmp/llmperf-mock-speed"))
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    servers = commands(options.folder)
    for stream in (False, True):
        results: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
        for _ in range(options.rounds):
            for name, command in servers.items():
                results[name].append(
                    measure(
                        command,
                        options.folder,
                        stream=stream,
                        seconds=options.seconds,
                        connections=options.connections,
                        prompts=NEW_PROMPTS if name == "new prompts" else 1,
                    )
                )
        print(f"\n{'32-chunk stream' if stream else 'plain answer'}, {options.connections} connections")
        print(f"{'server':12} {'requests/s':>12} {'CPU us/request':>16} {'requests per CPU second':>25}")
        for name, pairs in results.items():
            rate = statistics.median(pair[0] for pair in pairs)
            cost = statistics.median(pair[1] for pair in pairs)
            print(f"{name:12} {rate:12,.0f} {cost * 1e6:16.1f} {1 / cost:25,.0f}")


if __name__ == "__main__":
    main()
