"""``llmperf record``: stand between a client and a real server, and write down what passes.

The file is for ``llmperf mock --replay FILE``. It listens on 127.0.0.1 alone, and no secret is written.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from pytest_llmperf.client.redact import redact, safe_url
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.loopback import ADDRESS, check_host, check_port
from pytest_llmperf.relay.server import Relay, Route
from pytest_llmperf.relay.upstream import Upstream
from pytest_llmperf.relay.writing import Writer
from pytest_llmperf.wire.recording import header_line

_UPSTREAM = "upstream"


def declare(parser: argparse.ArgumentParser) -> None:
    """The options of ``llmperf record``."""
    parser.add_argument("--upstream", required=True, metavar="URL", help="the server, with or without /v1")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="a new file")
    parser.add_argument(
        "--port", type=int, default=8001, help="where clients connect; 0 takes a free one (default: 8001)"
    )
    parser.add_argument("--host", default=ADDRESS, help=f"{ADDRESS}, which is all that it listens on")
    parser.set_defaults(command=run)


def run(parsed: argparse.Namespace) -> int:
    """Record until Ctrl-C or SIGTERM."""
    check_host(parsed.host)
    upstream = _checked(parsed.upstream)
    check_port(parsed.port)
    try:
        file = parsed.out.open("x", encoding="utf-8")
    except FileExistsError:
        raise LlmPerfUsageError(
            f"{parsed.out} exists and is not overwritten; name another file with --out"
        ) from None
    with file:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(header_line(upstream=safe_url(upstream), recorded=now))
        file.flush()
        writer = Writer(file, lambda text: _say(sys.stderr, redact(text)))
        try:
            asyncio.run(_relay(upstream, parsed.port, writer))
        except OSError:
            file.close()  # Windows deletes nothing that is open
            parsed.out.unlink()  # the port was taken: nothing is in it, and it would be in the way next time
            raise
    left_out = f", {writer.left_out} without a whole answer left out" if writer.left_out else ""
    _say(sys.stdout, f"{writer.written} exchanges in {parsed.out}{left_out}")
    return 0


async def _relay(upstream: str, port: int, writer: Writer) -> None:
    stopped = asyncio.Event()
    if os.name == "posix":
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    relay = Relay(
        {_UPSTREAM: Upstream(url=upstream)},
        lambda target: Route(upstream=_UPSTREAM, target=target),
        writer.observe,
    )
    try:
        taken = await relay.open(port)
        _say(sys.stdout, f"http://{ADDRESS}:{taken}/v1 -> {safe_url(upstream)}")
        await stopped.wait()
    finally:
        relay.close()


def _checked(url: str) -> str:
    """*url*, if requests can be sent there."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise LlmPerfUsageError(
            f"--upstream {redact(url)} is no URL of a server; expected http://127.0.0.1:8000"
        )
    if parts.username or parts.password:
        raise LlmPerfUsageError(
            "--upstream holds credentials: let the client send them; they are not recorded"
        )
    return url


def _say(stream: TextIO, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()
