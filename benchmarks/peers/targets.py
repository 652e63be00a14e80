"""The servers that all clients are measured against: one that is nobody's product, and the mock."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from work import Answered, names

from pytest_llmperf.mock.process import start_mock

CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running one."""

    url: str  #: with /v1
    log: Callable[[], list[Answered]]  #: of the chats since the last time


@contextlib.contextmanager
def paced(first_s: float, gap_s: float, tokens: int, core: int) -> Iterator[Server]:
    """The independent server."""
    program = Path(__file__).parent / "server.py"
    command = [sys.executable, str(program), str(first_s), str(gap_s), str(tokens), str(core)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    origin = f"http://127.0.0.1:{int(process.stdout.readline())}"

    def log() -> list[Answered]:
        with urllib.request.urlopen(f"{origin}/log", timeout=60) as answer:
            return [_answered(*row) for row in json.load(answer)]

    try:
        yield Server(url=f"{origin}/v1", log=log)
    finally:
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _answered(head: str, body: str, arrived_s: float, first_s: float, ended_s: float) -> Answered:
    lines = (line.partition(": ") for line in head.split("\r\n")[1:])
    headers = {name.lower(): value for name, _, value in lines}
    return Answered(names=names(headers, body), arrived_s=arrived_s, first_s=first_s, ended_s=ended_s)


@contextlib.contextmanager
def mock(first_s: float, gap_s: float, tokens: int, core: int) -> Iterator[Server]:
    """Our mock, in the same place."""
    config = {
        "latency": {"ttft": f"{first_s}s", "itl": f"{gap_s}s"},
        "replies": [{"regex": "", "text": " ".join(f"token{at}" for at in range(tokens))}],
        "log_size": 100_000,
    }
    with start_mock(config) as server:
        os.sched_setaffinity(server.pid, {core})

        def log() -> list[Answered]:
            rows = [
                Answered(
                    names=names(dict(one.headers), one.body),
                    arrived_s=one.arrived_s,
                    first_s=one.first_token_s,
                    ended_s=one.last_byte_s,
                )
                for one in server.requests
                if one.path == CHAT and one.first_token_s is not None and one.last_byte_s is not None
            ]
            server.reset()
            return rows

        yield Server(url=server.url, log=log)


#: By the name in ``--server``.
SERVERS = {"paced": paced, "mock": mock}
