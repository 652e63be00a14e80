"""A load of one bare HTTP library, as a process of its own: what load generators are built on.

``python bare.py LIBRARY WORK OUT``, where WORK is JSON text of `work.Work`, writes the times to the first
token by tag to OUT.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from work import Work

#: Asks once under a tag; gives the time to the first token in seconds.
Ask = Callable[[str], Awaitable[float]]


def body(tag: str, *, stream: bool) -> dict[str, object]:
    message = {"role": "user", "content": tag}
    asked: dict[str, object] = {"model": "m", "messages": [message]}
    return {**asked, "stream": True, "stream_options": {"include_usage": True}} if stream else asked


def says(line: bytes) -> bool:
    """Whether a line of the stream holds a token."""
    if not line.startswith(b"data: {"):
        return False
    choices = json.loads(line[6:])["choices"]
    return bool(choices and choices[0]["delta"].get("content"))


class _Answer(asyncio.Protocol):
    """One connection, read by httptools: the floor of what Python can do."""

    def __init__(self) -> None:
        import httptools  # noqa: PLC0415 - each library only where it is measured

        self._new = lambda: httptools.HttpResponseParser(self)
        self.first_s = 0.0
        self.done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes) -> asyncio.Future[None]:
        self._parser, self.first_s = self._new(), 0.0
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.done

    def data_received(self, data: bytes) -> None:
        self._at_s = time.perf_counter()
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        for line in data.split(b"\n"):
            # every chunk is parsed, as whoever wants the text must
            if says(line) and not self.first_s:
                self.first_s = self._at_s

    def on_message_complete(self) -> None:
        if self.done is not None:
            self.done.set_result(None)


async def raw(work: Work, stack: contextlib.AsyncExitStack) -> Ask:
    idle: list[_Answer] = []
    host, port = work.address
    loop = asyncio.get_running_loop()

    async def ask(tag: str) -> float:
        due_s = time.perf_counter()
        if idle:
            connection = idle.pop()
        else:
            _, connection = await loop.create_connection(_Answer, host, port)
            stack.callback(connection.transport.abort)
        sent = json.dumps(body(tag, stream=work.stream)).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        await connection.ask(head + b"Content-Length: %d\r\n\r\n" % len(sent) + sent)
        idle.append(connection)
        return connection.first_s - due_s

    return ask


async def aio(work: Work, stack: contextlib.AsyncExitStack) -> Ask:
    import aiohttp  # noqa: PLC0415

    connector = aiohttp.TCPConnector(limit=0)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
    url = f"{work.url}/chat/completions"

    async def ask(tag: str) -> float:
        due_s, first_s = time.perf_counter(), 0.0
        async with session.post(url, json=body(tag, stream=work.stream)) as response:
            if not work.stream:
                await response.json()
                return 0.0
            async for line in response.content:
                if says(line) and not first_s:
                    first_s = time.perf_counter()
        return first_s - due_s

    return ask


async def httpx_pool(work: Work, stack: contextlib.AsyncExitStack) -> Ask:
    import httpx  # noqa: PLC0415

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, limits=limits, timeout=120))
    url = f"{work.url}/chat/completions"

    async def ask(tag: str) -> float:
        due_s, first_s = time.perf_counter(), 0.0
        async with client.stream("POST", url, json=body(tag, stream=work.stream)) as response:
            if not work.stream:
                json.loads(await response.aread())
                return 0.0
            async for line in response.aiter_lines():
                if says(line.encode()) and not first_s:
                    first_s = time.perf_counter()
        return first_s - due_s

    return ask


LIBRARIES = {"httptools": raw, "aiohttp": aio, "httpx": httpx_pool}


def settle_malloc() -> None:
    """Let glibc keep freed blocks: until a large one was freed, it maps and unmaps memory for every read.

    asyncio makes room for 256 KiB before each one, and this trebles what a token costs. Whoever has
    imported something large is past that, as every real load generator is.
    """
    bytes(20_000_000)


async def load(library: str, work: Work) -> dict[str, float]:
    """The times to the first token, by tag."""
    settle_malloc()
    told: dict[str, float] = {}
    left = itertools.count()
    async with contextlib.AsyncExitStack() as stack:
        ask = await LIBRARIES[library](work, stack)

        async def user(number: int) -> None:
            await asyncio.sleep(work.spread_s * number / work.streams)
            await ask(f"warm-{number}")
            while (at := next(left)) < work.requests:
                tag = f"r{at}"
                told[tag] = await ask(tag)

        await asyncio.gather(*(user(number) for number in range(work.streams)))
    return told


if __name__ == "__main__":
    name, given, out = sys.argv[1:]
    Path(out).write_text(json.dumps(asyncio.run(load(name, Work(**json.loads(given))))))
