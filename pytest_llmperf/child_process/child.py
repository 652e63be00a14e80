"""The child's side: take the order, say that it serves, end with the parent.

The parent holds the other end of standard input and never closes it, so its end is the parent's, whatever
ended that.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

_PARENT_CHECK_S = 1.0


def take_order() -> dict[str, Any]:
    """What standard input says in its first line. Ctrl-C is the parent's to handle from now on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    return order


def say(line: dict[str, Any]) -> None:
    """Tell the parent, in the one line that it reads: ``{"error": TEXT}``, or what it has to know."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # nobody reads it any more
    os.close(quiet)


async def until_the_parent_ends(parent: int) -> None:
    """Wait until standard input ends, or *parent* is no longer the parent."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def read_stdin() -> None:
        if not os.read(0, 4096):
            ended.set()

    def check_parent() -> None:
        if os.getppid() != parent:  # a fork of the parent may keep the pipe open after it
            ended.set()
        else:
            loop.call_later(_PARENT_CHECK_S, check_parent)

    try:
        loop.add_reader(0, read_stdin)
    except NotImplementedError:  # Windows: a thread reads instead
        loop.run_in_executor(None, _wait_for_end, loop, ended)
    check_parent()
    await ended.wait()


def _wait_for_end(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    while sys.stdin.buffer.read(1):
        pass
    loop.call_soon_threadsafe(ended.set)
