"""``python -m pytest_llmperf.mock``: the mock server alone."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.loopback import ADDRESS, check_host, check_port
from pytest_llmperf.mock.config import MockConfig, parse_config
from pytest_llmperf.mock.service import listen, serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; 2 when it cannot be started."""
    parser = argparse.ArgumentParser(
        prog="llmperf mock", description="A model server for tests, on 127.0.0.1."
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    parser.add_argument("--host", default=ADDRESS, help=f"{ADDRESS}, which is all that it listens on")
    parser.add_argument("--config", type=Path, help="a slo.yaml; its mock: section is used")
    parser.add_argument("--seed", type=int, help="seed of delays; wins over the file's")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="answer as recorded by llmperf record")
    parser.add_argument("--speed", type=float, metavar="N", help="replay N times as fast (default: 1)")
    options = parser.parse_args(arguments)
    try:
        check_host(options.host)
        check_port(options.port)
        config = load_config(options.config)
        config = replay_from(config, options.replay, options.speed)
        if options.seed is not None:
            config = replace(config, seed=options.seed)
        asyncio.run(_serve(config, listen(options.port)))
    except (LlmPerfUsageError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return 0


def load_config(path: Path | None) -> MockConfig:
    """The ``mock:`` section of the slo.yaml at *path*; defaults when there is none."""
    if path is None:
        return parse_config({})
    import yaml  # noqa: PLC0415

    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LlmPerfUsageError(f"{path}: {error}") from None
    if not isinstance(loaded, dict) or "mock" not in loaded:
        near = get_close_matches("mock", map(str, loaded if isinstance(loaded, dict) else ()), n=1)
        hint = f" Is {near[0]!r} meant to be it?" if near else ""
        raise LlmPerfUsageError(f"{path}: there is no section mock: in it.{hint}")
    return parse_config(loaded["mock"] or {}, where=f"{path} mock", folder=path.parent)


def replay_from(config: MockConfig, path: Path | None, speed: float | None) -> MockConfig:
    """*config* with what the command line says about replaying."""
    given = {"replay": None if path is None else str(path), "speed": speed}
    wanted = parse_config({key: value for key, value in given.items() if value is not None}, where="mock")
    if path is not None:
        config = replace(config, replay=wanted.replay)
    if speed is not None and config.replay is None:
        raise LlmPerfUsageError("--speed: there is no recording to replay; name one with --replay FILE")
    return config if speed is None else replace(config, speed=wanted.speed)


async def _serve(config: MockConfig, listener: socket.socket) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        if os.name == "posix":
            loop.add_signal_handler(name, stopped.set)
    service = await serve(config, listener, token=os.environ.get("LLMPERF_MOCK_TOKEN") or None)
    print(f"http://{ADDRESS}:{service.port}/v1", flush=True)  # noqa: T201
    await stopped.wait()
    service.close()


if __name__ == "__main__":
    sys.exit(main())
