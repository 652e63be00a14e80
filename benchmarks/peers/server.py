"""A small paced server that is nobody's product: it shares no code with what is measured against it.

It answers like an OpenAI server, at once or at a fixed pace, and notes when it had read each request and
when it wrote its first token, on the clock of ``time.perf_counter()``, which all processes of a Linux
machine share. ``GET /log`` tells them. ``python server.py FIRST_S GAP_S TOKENS CORE`` prints its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import time

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
USAGE = {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1}


class Pace:
    """What every answer is made of, and when its parts are written."""

    def __init__(self, first_s: float, gap_s: float, tokens: int) -> None:
        self.first_s, self.gap_s = first_s, gap_s
        usage = {**USAGE, "completion_tokens": tokens, "total_tokens": tokens + 1}
        chunks = [_chunk(delta={"content": f" token{at}"}) for at in range(tokens)]
        chunks[0] = HEAD + _chunk(delta={"role": "assistant", "content": ""}) + chunks[0]
        chunks[-1] += (
            _chunk(delta={}, finish_reason="stop")
            + _event(
                json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": [], "usage": usage})
            )
            + _event("[DONE]")
            + b"0\r\n\r\n"
        )
        self.stream = chunks
        message = {"role": "assistant", "content": "".join(f" token{at}" for at in range(tokens))}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
        self.plain = answer_of(answer)


def _chunk(**choice: object) -> bytes:
    choices = [{"index": 0, "finish_reason": None, **choice}]
    return _event(
        json.dumps({"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": choices})
    )


def _event(text: str) -> bytes:
    data = f"data: {text}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer_of(value: object) -> bytes:
    """*value* as JSON in a whole HTTP answer."""
    body = json.dumps(value).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


class PacedServer(asyncio.Protocol):
    """One connection."""

    def __init__(self, pace: Pace, log: list[list[object]]) -> None:
        self._pace, self._log = pace, log
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected; asyncio calls it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """A request, or a part of one; asyncio calls it."""
        at_s = time.perf_counter()
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            if head.startswith(b"GET"):
                self._buffer = rest
                self._transport.write(answer_of(self._tell(head)))
                continue
            lower = head.lower()
            if b"content-length:" not in lower:  # some clients send their body in chunks
                body, ended, rest = rest.partition(b"0\r\n\r\n")
                if not ended:
                    return
                body = body.partition(b"\r\n")[2].rpartition(b"\r\n")[0]
            else:
                length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
                if len(rest) < length:
                    return
                body, rest = rest[:length], rest[length:]
            self._buffer = rest
            if head.split(b" ", 2)[1] == b"/v1/chat/completions":
                self._answer(head, body, at_s)
            else:  # some clients ask for more than chats
                self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def _tell(self, head: bytes) -> object:
        target = head.split(b" ", 2)[1]
        if target == b"/log":
            told, self._log[:] = list(self._log), []
            return told
        return {"object": "list", "data": [{"id": "m", "object": "model"}]}

    def _answer(self, head: bytes, body: bytes, at_s: float) -> None:
        entry: list[object] = [head.decode("latin-1"), body.decode(), at_s, at_s, at_s]
        self._log.append(entry)
        pace = self._pace
        if b'"stream":true' not in body and b'"stream": true' not in body:
            self._transport.write(pace.plain)
        elif pace.first_s:
            self._loop.call_later(pace.first_s, self._write, entry, 0)
        else:
            for chunk in pace.stream:
                self._transport.write(chunk)

    def _write(self, entry: list[object], number: int) -> None:
        if self._transport.is_closing():
            return
        pace = self._pace
        now_s = time.perf_counter()
        self._transport.write(pace.stream[number])
        if number == 0:
            entry[3] = now_s
        if number + 1 < len(pace.stream):
            self._loop.call_later(pace.gap_s, self._write, entry, number + 1)
        else:
            entry[4] = now_s


async def main() -> None:
    """Serve until the process that started this one closes the pipe."""
    first_s, gap_s, tokens, core = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {core})
    pace, log, loop = Pace(first_s, gap_s, tokens), [], asyncio.get_running_loop()
    gc.freeze()
    gc.disable()
    bytes(20_000_000)  # glibc keeps freed blocks from now on, else asyncio maps memory anew for every read
    server = await loop.create_server(lambda: PacedServer(pace, log), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    closed = asyncio.Event()
    loop.add_reader(sys.stdin, closed.set)
    await closed.wait()


if __name__ == "__main__":
    asyncio.run(main())
