"""How much the clients add to the time to first token that a server really took.

A paced server in its own process notes when it had read a request and when it wrote the first
token. The bias of a request is what the client reports minus that span: everything that the
client, the kernel and the loopback add. Every client is measured in the same run, in turns, so the
ratios hold on a noisy machine too.

    python benchmarks/ttft_bias.py [--requests 200] [--streams 1 32]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import httpx

from pytest_llmperf.client.aio import AsyncClient
from pytest_llmperf.client.recorder import Recording
from pytest_llmperf.client.sync import Client
from pytest_llmperf.core.backend import Backend

FIRST_S = 0.02
GAP_S = 0.004
TOKENS = 8
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

Ask = Callable[[str], Awaitable[float]]


class PacedServer(asyncio.Protocol):
    """Answers every request with the same stream at the same pace, and notes when."""

    def __init__(self, noted: dict[str, float]) -> None:
        self._noted = noted
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """A request for an answer, or for what was noted."""
        at_s = time.perf_counter()
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        if head.startswith(b"GET"):
            self._buffer = b""
            noted = json.dumps(self._noted).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(noted) + noted)
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._buffer = b""
            name = json.loads(body)["user"]
            asyncio.get_running_loop().call_later(FIRST_S, self._write, name, at_s, 0)

    def _write(self, name: str, asked_s: float, number: int) -> None:
        reason = "stop" if number == TOKENS - 1 else None
        delta = {"content": f"token{number} "}
        chunk = json.dumps(
            {
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
            }
        )
        data = _chunk(f"data: {chunk}\n\n")
        if number == 0:
            data = HEAD + data
        if reason:
            data += _chunk("data: [DONE]\n\n") + b"0\r\n\r\n"
        now_s = time.perf_counter()
        self._transport.write(data)
        if number == 0:
            self._noted[name] = now_s - asked_s
        if not reason:
            asyncio.get_running_loop().call_later(GAP_S, self._write, name, asked_s, number + 1)


def _chunk(text: str) -> bytes:
    return f"{len(text):x}\r\n{text}\r\n".encode()


def serve(pipe: Connection) -> None:
    async def run() -> None:
        noted: dict[str, float] = {}
        server = await asyncio.get_running_loop().create_server(lambda: PacedServer(noted), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def body(name: str) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True, "user": name}


def first_content(line: str) -> bool:
    return line.startswith("data: {") and bool(json.loads(line[6:])["choices"][0]["delta"].get("content"))


async def in_turns(asks: dict[str, Ask], streams: int, requests: int) -> dict[str, dict[str, float]]:
    """TTFT in seconds by client and request name; the clients take turns in rounds."""
    measured: dict[str, dict[str, float]] = {client: {} for client in asks}
    rounds = max(requests // (streams * 5), 1)
    for turn in range(rounds + 1):  # the first one warms up
        for client, ask in asks.items():

            async def stream(number: int, ask: Ask = ask, client: str = client, turn: int = turn) -> None:
                # as real users: not all in one instant, which would measure the paced server's queue
                await asyncio.sleep(number * (FIRST_S + TOKENS * GAP_S) / streams)
                for i in range(5):
                    name = f"{client}/{streams}/{turn}/{number}/{i}"
                    ttft_s = await ask(name)
                    if turn:
                        measured[client][name] = ttft_s

            await asyncio.gather(*(stream(number) for number in range(streams)))
    return measured


def ours_sync(backend: Backend, stack: contextlib.AsyncExitStack) -> Ask:
    client = stack.enter_context(Client(backend, Recording()))

    async def ask(name: str) -> float:
        return (client.chat("hi", user=name).ttft_ms or 0) / 1e3

    return ask


async def ours_async(backend: Backend, stack: contextlib.AsyncExitStack) -> Ask:
    client = await stack.enter_async_context(AsyncClient(backend, Recording()))

    async def ask(name: str) -> float:
        return ((await client.chat("hi", user=name)).ttft_ms or 0) / 1e3

    return ask


def bare_httpx(url: str, stack: contextlib.AsyncExitStack) -> Ask:
    client = stack.enter_context(httpx.Client(trust_env=False))

    async def ask(name: str) -> float:
        due_s, first_s = time.perf_counter(), 0.0
        with client.stream("POST", url, json=body(name)) as response:
            for line in response.iter_lines():
                if not first_s and first_content(line):
                    first_s = time.perf_counter()
        return first_s - due_s

    return ask


async def bare_async_httpx(url: str, stack: contextlib.AsyncExitStack) -> Ask:
    limits = httpx.Limits(max_connections=None)
    client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, limits=limits))

    async def ask(name: str) -> float:
        due_s, first_s = time.perf_counter(), 0.0
        async with client.stream("POST", url, json=body(name)) as response:
            async for line in response.aiter_lines():
                if not first_s and first_content(line):
                    first_s = time.perf_counter()
        return first_s - due_s

    return ask


async def bare_aiohttp(url: str, stack: contextlib.AsyncExitStack) -> Ask:
    import aiohttp  # noqa: PLC0415 - only where it is installed

    connector = aiohttp.TCPConnector(limit=0)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

    async def ask(name: str) -> float:
        due_s, first_s = time.perf_counter(), 0.0
        async with session.post(url, json=body(name)) as response:
            async for line in response.content:
                if not first_s and first_content(line.decode()):
                    first_s = time.perf_counter()
        return first_s - due_s

    return ask


async def main(requests: int, stream_counts: list[int]) -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    base = f"http://127.0.0.1:{ours.recv()}"
    url = f"{base}/v1/chat/completions"
    backend = Backend(name="paced", kind="openai", url=base, model="m")
    async with contextlib.AsyncExitStack() as stack:
        asks = {
            "async_llm": await ours_async(backend, stack),
            "httpx async": await bare_async_httpx(url, stack),
        }
        if importlib.util.find_spec("aiohttp"):
            asks["aiohttp"] = await bare_aiohttp(url, stack)
        blocking = {"llm": ours_sync(backend, stack), "httpx": bare_httpx(url, stack)}
        for streams in stream_counts:
            # a blocking client has one stream
            measured = await in_turns(asks | blocking if streams == 1 else asks, streams, requests)
            async with httpx.AsyncClient(trust_env=False) as client:
                noted = (await client.get(base)).json()
            show(measured, noted, streams)
    process.kill()


def show(measured: dict[str, dict[str, float]], real: dict[str, float], streams: int) -> None:
    biases = {
        client: sorted((ttft_s - real[name]) * 1e3 for name, ttft_s in named.items())
        for client, named in measured.items()
    }
    base = quantile(biases["async_llm"], 0.5)
    print(f"\n{streams} stream(s)          n   p50 ms   p99 ms   p50 / async_llm's")
    for client, values in sorted(biases.items(), key=lambda item: item[1][len(item[1]) // 2]):
        p50, p99 = quantile(values, 0.5), quantile(values, 0.99)
        print(f"  {client:<16} {len(values):5}   {p50:6.3f}   {p99:6.3f}   x{p50 / base:.1f}")


def quantile(values: list[float], q: float) -> float:
    return values[min(int(q * len(values)), len(values) - 1)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 32])
    arguments = parser.parse_args()
    asyncio.run(main(arguments.requests, arguments.streams))
