"""The process that the server runs in: start, say where, and end with the parent."""

from __future__ import annotations

import asyncio
import os
import socket

from pytest_llmperf.child_process.child import say, take_order, until_the_parent_ends
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.config import MockConfig, parse_config
from pytest_llmperf.mock.service import listen, serve


def run_child() -> None:
    """Serve what standard input describes in one line, until standard input ends.

    The answer is one line of JSON on standard output: ``{"port": ..., "control": ...}`` or
    ``{"error": ...}``; nothing is written after it.
    """
    parent = os.getppid()
    order = take_order()
    try:
        config = parse_config(order["section"], where=order["where"])
        listener = listen(order["port"])
        asyncio.run(_serve_child(config, listener, token=order["token"], parent=parent))
    except (LlmPerfUsageError, OSError) as error:
        say({"error": str(error)})


async def _serve_child(config: MockConfig, listener: socket.socket, *, token: str, parent: int) -> None:
    service = await serve(config, listener, token=token)
    say({"port": service.port, "control": await service.open_control()})
    await until_the_parent_ends(parent)
    service.close()
