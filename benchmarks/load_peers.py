"""Load generators side by side in one run: ours, bare HTTP libraries, and other people's tools.

The server runs on one core, the client on another. What is measured: how much a client adds to the time to
the first token that the server's log says (bias), request by request; processor time per request of a paced
load; requests per second of one core, with no pause; memory. Only figures of one run can be compared.
``growth.py`` shows how our cost grows with the samples.

    python benchmarks/load_peers.py [--peer locust=/path/locust] [--peer vllm=/path/vllm] [--peer aiperf=...]
        [--peer guidellm=...] [--tokenizer FOLDER] [--out docs/explanation] [--scale 0.1] [--minutes 12]

Tools are used where the path of their command is given, and never installed; vllm, aiperf and guidellm need
the folder of a tokenizer, any will do. ``--out`` writes the tables (load-peers.inc) and the plot
(load-peers.svg) of the documentation. Needs psutil, aiohttp and httpx; about twelve minutes with all tools.
Nothing runs at real-time priority, and every client is ended, with all it started, when its time is up.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

BESIDE = Path(__file__).parent / "peers"
sys.path.insert(0, str(BESIDE))

import ours  # noqa: E402 - they lie beside this script
from plot import bars  # noqa: E402
from process import ClientFailedError, Used, run  # noqa: E402
from tables import Paced, Rate, Results, markdown, panels, text  # noqa: E402
from targets import SERVERS, Server  # noqa: E402
from tools import TOOLS, Call  # noqa: E402
from work import Answered, NotMatchedError, Work, biases, counted  # noqa: E402

SERVER_CORE, CLIENT_CORE = 0, 1
FIRST_S, GAP_S, TOKENS = 0.05, 0.005, 32
TAKES_S = FIRST_S + (TOKENS - 1) * GAP_S
BARE = ("httptools", "aiohttp", "httpx")
#: How long a client may take to start and to end, beside the load.
STARTS_S = 120.0
#: How many requests each client asks at a time with no pause takes some seconds, by how fast it is.
NO_PAUSE = {"async_llm": 1.0, "httptools": 2.0, "aiohttp": 1.0, "locust": 1.0, "vllm": 0.5}
SLOW = 0.08
#: These need 5 ms of processor and more for a request of 128 streams, and are asked for a quarter of them.
DEAR = {"httpx", "aiperf", "guidellm"}
#: These differ from another client in when they see a token, not in what they cost.
BIAS_ONLY = {"llm", "locust iter_lines"}

#: What gives a client's command for a work, in a folder of its own.
Client = Callable[[Work, Path], Call]


@dataclass(slots=True)
class Session:
    """One run of this benchmark."""

    clients: Mapping[str, Client]
    scale: float
    rounds: int
    ends_s: float  #: on the clock of perf_counter: nothing is begun after this
    results: Results = field(default_factory=Results)

    def ask(self, name: str, work: Work, server: Server, *, memory: bool = False) -> Ran | None:
        """What came of one client's work; None, and a word on why, if it failed or there is no time."""
        left_s = self.ends_s - time.perf_counter()
        if left_s < 0:
            self.failed(name, work, "the time for all was up")
            return None
        try:
            return self._ask(name, work, server, left_s=left_s, memory=memory)
        except (
            ClientFailedError,
            NotMatchedError,
            OSError,
            LookupError,
            ValueError,
            AssertionError,
        ) as error:
            self.failed(name, work, f"{type(error).__name__} {error}")
            return None

    def _ask(self, name: str, work: Work, server: Server, *, left_s: float, memory: bool) -> Ran:
        # the slowest that was seen needed 20 ms of processor for a request
        expected_s = work.asked * max(TAKES_S / work.streams if work.spread_s else 0.0, 0.02)
        with tempfile.TemporaryDirectory() as name_of_folder:
            folder = Path(name_of_folder)
            call = self.clients[name](work, folder)
            server.log()
            used = run(
                call.command,
                core=CLIENT_CORE,
                timeout_s=min(STARTS_S + expected_s, left_s + 30.0),
                memory=memory,
                LOG=str(folder / "words"),
                **call.environment,
            )
            told = call.read() if work.stream else {}
        ran = Ran(told=told, log=server.log(), used=used)
        ran.check(work)
        return ran

    def failed(self, name: str, work: Work, why: str) -> None:
        """Tell that a client is left out, and why."""
        self.results.failures.append(f"{name}, {work.streams} streams: {why}")
        print(f"{name}: not measured: {why}", flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a client told, what the server's log has, and what the client's processes used."""

    told: dict[str, float]
    log: list[Answered]
    used: Used

    def check(self, work: Work) -> None:
        """Raises NotMatchedError where the log or the report does not have the requests."""
        counts = len(counted(self.log, work.streams))
        if counts < work.requests:
            raise NotMatchedError(f"the server's log has {counts} of {work.requests} requests")
        if not self._steady(work)[2]:
            raise NotMatchedError(f"{work.requests} requests of {work.streams} users have no steady part")
        if work.stream:
            biases(self.told, self.log, work)

    def cpu_s(self, work: Work) -> float:
        """Seconds of processor per request, from when all users are under way until the last one is sent.

        Start and end of the process are not in it, nor what it puts off until the load is over.
        """
        start_s, end_s, done = self._steady(work)
        return self.used.cpu_between(start_s, end_s) / done

    def _steady(self, work: Work) -> tuple[float, float, int]:
        log = counted(self.log, work.streams)
        start_s, end_s = log[len(log) // 10].arrived_s, log[-1].arrived_s
        return start_s, end_s, sum(start_s < one.ended_s <= end_s for one in self.log)


def available(peers: Mapping[str, str], tokenizer: str, only: Sequence[str]) -> dict[str, Client]:
    """Everything that can be measured here, by its name."""
    found: dict[str, Client] = {"async_llm": ours.call, "llm": partial(ours.call, blocking=True)}
    for library in BARE:
        if find_spec(library) is None:
            print(f"{library}: not measured, not installed")
        else:
            found[library] = partial(bare, library)
    for name, tool in TOOLS.items():
        command = peers.get(tool.command or name)
        if command is None or not Path(command).exists():
            print(f"{name}: not measured, no command" + (f" at {command}" if command else " given"))
        elif tool.needs_tokenizer and not tokenizer:
            print(f"{name}: not measured, it needs --tokenizer")
        else:
            found[name] = partial(_tool, name, command, tokenizer)
    return {name: client for name, client in found.items() if not only or name in only}


def _tool(name: str, command: str, tokenizer: str, work: Work, folder: Path) -> Call:
    return TOOLS[name].call(command, work, folder, tokenizer)


def bare(library: str, work: Work, folder: Path) -> Call:
    """A loop on one library, without anything that keeps or judges."""
    out = folder / "told.json"
    command = [sys.executable, str(BESIDE / "bare.py"), library, work.json(), str(out)]
    return Call(command=command, read=lambda: json.loads(out.read_text()), environment={})


def measure_paced(session: Session, server_name: str, streams: Sequence[int]) -> None:
    """How much each client adds to the server's own time to the first token, and what a request costs."""
    for count in streams:
        requests = max(int(session.scale * {1: 30, 32: 640}.get(count, 20 * count)), 2 * count, 10)
        with SERVERS[server_name](FIRST_S, GAP_S, TOKENS, SERVER_CORE) as server:
            for name in [*session.clients] * session.rounds:
                if name == "llm" and count > 1:
                    continue
                some = requests // 4 if name in DEAR and count > 32 else requests
                work = Work(url=server.url, streams=count, requests=some, spread_s=TAKES_S)
                ran = session.ask(name, work, server)
                if ran is not None:
                    cpu_s = ran.cpu_s(work) if count > 1 else None
                    found = biases(ran.told, ran.log, work)
                    row = Paced(client=name, server=server_name, streams=count, biases=found, cpu_s=cpu_s)
                    session.results.paced.append(row)
                    print(text(row), flush=True)


def measure_rate(session: Session) -> None:
    """Requests per second of processor, everything at once, and memory."""
    for stream, requests in ((False, 20_000), (True, 6_000)):
        with SERVERS["paced"](0.0, 0.0, TOKENS, SERVER_CORE) as server:
            for name in [*session.clients] * session.rounds:
                if name in BIAS_ONLY or (name in TOOLS and not (stream or TOOLS[name].plain)):
                    continue
                some = max(int(session.scale * requests * NO_PAUSE.get(name, SLOW)), 200)
                work = Work(url=server.url, streams=64, requests=some, stream=stream)
                ran = session.ask(name, work, server, memory=stream)
                if ran is not None:
                    peak_mb = ran.used.peak_mb if stream else None
                    row = Rate(client=name, stream=stream, per_core_s=1 / ran.cpu_s(work), peak_mb=peak_mb)
                    session.results.rates.append(row)
                    print(text(row), flush=True)


def versions(peers: Mapping[str, str]) -> list[str]:
    """Of the tools, as their environments have them: asking each would take a minute."""
    found = []
    for name, command in peers.items():
        packages = Path(command).absolute().parents[1].glob(f"lib/python*/site-packages/{name}-*.dist-info")
        found += [f"{name} {path.name.removesuffix('.dist-info').partition('-')[2]}" for path in packages]
    return found


def conditions(peers: Mapping[str, str]) -> str:
    """When and on what this run is."""
    found = [f"{name} {version(name)}" for name in BARE if find_spec(name)]
    return (
        f"{datetime.now(UTC):%-d %B %Y}, {os.cpu_count()} processors ({platform.machine()}),"
        f" Python {platform.python_version()}, {', '.join([*found, *versions(peers)])};"
        f" load average before: {os.getloadavg()[0]:.1f}"
    )


PARTS = ("rate", "paced")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="all, where none is named")
    parser.add_argument("--server", action="append", choices=list(SERVERS), help="for the paced load; both")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="these clients only")
    parser.add_argument("--tokenizer", default="", metavar="FOLDER")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 32, 128])
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the requests")
    parser.add_argument(
        "--rounds", type=int, default=1, help="so often in turns; medians, and biases together"
    )
    parser.add_argument("--minutes", type=float, default=12.0, help="nothing is begun after this")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where load-peers.inc and .svg go")
    asked = parser.parse_args()
    if not {SERVER_CORE, CLIENT_CORE} <= os.sched_getaffinity(0):
        parser.error(f"it needs the processor cores {SERVER_CORE} and {CLIENT_CORE} for itself")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a client is ended on the way out
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # who starts without compiled code pays for it each time
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # a busy client would stop the machine
    os.sched_setaffinity(0, {SERVER_CORE})
    peers = dict(peer.split("=", 1) for peer in asked.peer)
    clients = available(peers, asked.tokenizer, asked.only)
    session = Session(
        clients=clients,
        scale=asked.scale,
        rounds=asked.rounds,
        ends_s=time.perf_counter() + 60 * asked.minutes,
    )
    session.results.conditions = conditions(peers)
    parts = asked.part or PARTS
    # the rates first: they are few, and have the memory
    if "rate" in parts:
        measure_rate(session)
    for server_name in (asked.server or list(SERVERS)) if "paced" in parts else ():
        measure_paced(session, server_name, asked.streams)
    print("\n" + markdown(session.results))
    if asked.out is not None:
        (asked.out / "load-peers.inc").write_text(markdown(session.results), "utf-8")
        (asked.out / "load-peers.svg").write_text(bars(panels(session.results)), "utf-8")


if __name__ == "__main__":
    main()
