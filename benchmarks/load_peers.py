"""Load generators side by side in one run: ours, bare HTTP libraries, and other people's tools.

The server runs on one core, the client on another. Three tables: how much a client adds to the time to the
first token that the server's log says (bias); requests per second of one core; processor time and memory of
a paced load. Only figures of one run can be compared. `growth.py` shows how cost grows with the samples.

    python benchmarks/load_peers.py [--part bias --part rate ...] [--server paced|mock] [--out FILE.svg]
        [--peer locust=/path/locust] [--peer vllm=/path/vllm] [--peer aiperf=...] [--peer guidellm=...]
        [--tokenizer FOLDER] [--rounds N]

Tools are used where a path to their command is given, and never installed; aiperf, guidellm and vllm need
the folder of any tokenizer. On a busy machine, ``chrt -f 10`` before the command makes figures quieter.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

BESIDE = Path(__file__).parent / "peers"
sys.path.insert(0, str(BESIDE))

import ours  # noqa: E402 - they lie beside this script
from plot import bars  # noqa: E402
from tools import TOOLS, biases  # noqa: E402
from work import ClientFailedError, Used, Work, run  # noqa: E402

from pytest_llmperf.mock.process import start_mock  # noqa: E402

SERVER_CORE, CLIENT_CORE = 0, 1
FIRST_S, GAP_S, TOKENS = 0.05, 0.005, 32
TAKES_S = FIRST_S + (TOKENS - 1) * GAP_S
BARE = ("httptools", "aiohttp", "httpx")
#: Promised p50 and p99 in ms, by client and number of streams.
PROMISED = {("async_llm", 1): (0.4, 1.0), ("async_llm", 32): (0.25, 1.0), ("async_llm", 128): (0.25, 1.5)}
PROMISED[("llm", 1)] = (0.6, 1.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of one client's work: the bias of each request in seconds, and what it used."""

    biases: list[float]
    used: Used


#: A client's name, and what gives it work.
Client = Callable[[Work, Callable[[], list[dict[str, object]]]], Ran]


@contextlib.contextmanager
def paced(first_s: float, gap_s: float) -> Iterator[tuple[str, Callable[[], list[dict[str, object]]]]]:
    """The independent server: its URL, and what gives its log since the last time."""
    command = [
        sys.executable,
        str(BESIDE / "server.py"),
        str(first_s),
        str(gap_s),
        str(TOKENS),
        str(SERVER_CORE),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    origin = f"http://127.0.0.1:{int(process.stdout.readline())}"

    def log() -> list[dict[str, object]]:
        with urllib.request.urlopen(f"{origin}/log") as answer:
            rows = json.load(answer)
        return [{"body": body, "arrived_s": arrived, "first_s": first} for _, body, arrived, first, _ in rows]

    try:
        yield f"{origin}/v1", log
    finally:
        process.stdin.close()
        process.wait()


@contextlib.contextmanager
def mock(first_s: float, gap_s: float) -> Iterator[tuple[str, Callable[[], list[dict[str, object]]]]]:
    """Our mock, in the same place."""
    text = " ".join(f"token{at}" for at in range(TOKENS))
    config = {
        "latency": {"ttft": f"{first_s}s", "itl": f"{gap_s}s"},
        "replies": [{"regex": "", "text": text}],
        "log_size": 100_000,
    }
    with start_mock(config) as server:
        os.sched_setaffinity(server.pid, {SERVER_CORE})

        def log() -> list[dict[str, object]]:
            rows = [
                {"body": one.body, "arrived_s": one.arrived_s, "first_s": one.first_token_s}
                for one in server.requests
                if one.method == "POST" and one.first_token_s is not None
            ]
            server.reset()
            return rows

        yield server.url, log


SERVERS = {"paced": paced, "mock": mock}


def clients(peers: dict[str, str], tokenizer: str | None) -> dict[str, Client]:
    """Everything that can be measured here."""
    found: dict[str, Client] = {"async_llm": own(blocking=False), "llm": own(blocking=True)}
    found |= {library: bare(library) for library in BARE}
    for name, (_, needs_tokenizer) in TOOLS.items():
        command = peers.get(name)
        if command is None or not Path(command).exists():
            print(f"{name}: not measured, no command" + (f" at {command}" if command else " given"))
        elif needs_tokenizer and tokenizer is None:
            print(f"{name}: not measured, it needs --tokenizer")
        else:
            found[name] = tool(name, command, tokenizer)
    return found


def own(*, blocking: bool) -> Client:
    def client(work: Work, log: Callable[[], list[dict[str, object]]]) -> Ran:
        with tempfile.TemporaryDirectory() as folder:
            told, used = ours.load(work, Path(folder), core=CLIENT_CORE, blocking=blocking)
        return Ran(biases=tagged(told, log()), used=used)

    return client


def bare(library: str) -> Client:
    def client(work: Work, log: Callable[[], list[dict[str, object]]]) -> Ran:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "told.json"
            command = [sys.executable, str(BESIDE / "bare.py"), library, work.json(), str(out)]
            used = run(command, core=CLIENT_CORE, LOG=f"{folder}/log")
            told = json.loads(out.read_text())
        return Ran(biases=tagged(told, log()), used=used)

    return client


def tool(name: str, command: str, tokenizer: str | None) -> Client:
    ask, needs_tokenizer = TOOLS[name]
    more = {"tokenizer": tokenizer} if needs_tokenizer else {}

    def client(work: Work, log: Callable[[], list[dict[str, object]]]) -> Ran:
        with tempfile.TemporaryDirectory() as folder:
            told, used = ask(command, work, Path(folder), CLIENT_CORE, **more)
        server = [(float(row["arrived_s"]), float(row["first_s"]) - float(row["arrived_s"])) for row in log()]
        return Ran(biases=biases(told, server) if work.stream else [], used=used)

    return client


def tagged(told: dict[str, float], rows: Sequence[dict[str, object]]) -> list[float]:
    """Reported minus real, request by request: each has its tag as prompt."""
    real = {}
    for row in rows:
        asked = json.loads(str(row["body"]))
        if asked.get("messages"):
            real[asked["messages"][-1]["content"]] = float(row["first_s"]) - float(row["arrived_s"])
    return [ttft_s - real[tag] for tag, ttft_s in told.items()]


def bias(server: str, everyone: dict[str, Client], streams: Sequence[int], scale: float) -> None:
    """How much each client adds to the server's own time to the first token."""
    for count in streams:
        requests = int(scale * {1: 60, 32: 1280}.get(count, 20 * count))
        rows = {}
        with SERVERS[server](FIRST_S, GAP_S) as (url, log):
            work = Work(url=url, streams=count, requests=requests, spread_s=TAKES_S)
            for name, client in everyone.items():
                if name == "llm" and count > 1:
                    continue
                with told_if_failed(name):
                    log()
                    rows[name] = sorted(client(work, log).biases)
        print(f"\nTTFT bias, {server} server, {count} stream(s)     n   p50 ms   p99 ms   promised")
        for name, values in sorted(rows.items(), key=lambda item: quantile(item[1], 0.5)):
            p50, p99 = quantile(values, 0.5) * 1e3, quantile(values, 0.99) * 1e3
            aim = PROMISED.get((name, count))
            said = "" if aim is None else f"{aim[0]:.2f} / {aim[1]:.1f}"
            print(f"  {name:<36} {len(values):5} {p50:8.3f} {p99:8.3f}   {said}")
            RESULTS.setdefault(f"TTFT bias, {count} streams: p50, ms", {})[name] = p50
            RESULTS.setdefault(f"TTFT bias, {count} streams: p99, ms", {})[name] = p99


def rate(everyone: dict[str, Client], scale: float, rounds: int) -> None:
    """Requests per second of one core, everything at once: by processor time, start-up subtracted."""
    names = [name for name in everyone if name in {"async_llm", "locust", *BARE}]
    for kind, stream, requests in (("plain", False, 20_000), ("32-chunk stream", True, 6_000)):
        costs: dict[str, list[float]] = {}
        with paced(0.0, 0.0) as (url, log):
            for name in names * rounds:
                few = int(scale * requests * (0.05 if name == "httpx" else 0.2))
                work = Work(url=url, streams=64, requests=few, stream=stream)
                with told_if_failed(name):
                    costs.setdefault(name, []).append(each_s(everyone[name], work, 5 * few, log)[0])
        rows = {name: 1 / median(values) for name, values in costs.items()}
        floor = rows.get("httptools", float("nan"))
        aim = {"plain": 20_000, "32-chunk stream": 5_500}[kind]
        print(f"\nrequests/s of a core, {kind}, 64 connections        of httptools'   promised")
        for name, value in sorted(rows.items(), key=lambda item: -item[1]):
            said = f"{aim:,}" if name == "async_llm" else ""
            print(f"  {name:<36} {value:10,.0f} {value / floor:12.2f}   {said}")
            RESULTS.setdefault(f"requests/s of a core, {kind}", {})[name] = value


def each_s(
    client: Client, work: Work, many: int, log: Callable[[], list[dict[str, object]]]
) -> tuple[float, float]:
    """Processor time of one request of *work* beyond its first ones, up to *many*; and peak memory in MB."""
    log()
    first = client(work, log).used
    second = client(replace(work, requests=many), log).used
    return max(second.cpu_s - first.cpu_s, 1e-9) / (many - work.requests), second.peak_mb


def cost(server: str, everyone: dict[str, Client], scale: float, rounds: int) -> None:
    """Processor time of a request in a paced load of 128 streams, start-up subtracted, and peak memory."""
    costs: dict[str, list[tuple[float, float]]] = {}
    with SERVERS[server](FIRST_S, GAP_S) as (url, log):
        for name in [name for name in everyone if name != "llm"] * rounds:
            work = Work(url=url, streams=128, requests=int(256 * scale), spread_s=TAKES_S)
            with told_if_failed(name):
                costs.setdefault(name, []).append(each_s(everyone[name], work, 10 * work.requests, log))
    rows = {
        name: (1e3 * median(cpu_s for cpu_s, _ in values), max(peak_mb for _, peak_mb in values))
        for name, values in costs.items()
    }
    floor = rows.get("httptools", (float("nan"), 0.0))[0]
    print("\n128 paced streams          CPU ms/request   of httptools'   peak MB   promised")
    for name, (cpu_ms, peak_mb) in sorted(rows.items(), key=lambda item: item[1][0]):
        said = "0.55 ms, or 1.25 x" if name == "async_llm" else ""
        print(f"  {name:<24} {cpu_ms:14.3f} {cpu_ms / floor:15.2f} {peak_mb:9.0f}   {said}")
        RESULTS.setdefault("CPU per paced request, ms", {})[name] = cpu_ms
        RESULTS.setdefault("peak memory, MB", {})[name] = peak_mb


@contextlib.contextmanager
def told_if_failed(name: str) -> Iterator[None]:
    """A client that fails is left out, and says why."""
    try:
        yield
    except (ClientFailedError, OSError, ValueError, KeyError, AssertionError) as error:
        print(f"{name}: not measured: {type(error).__name__} {str(error)[-300:]}")


def quantile(values: Sequence[float], q: float) -> float:
    return values[min(int(q * len(values)), len(values) - 1)]


#: By title and client: what the plot shows.
RESULTS: dict[str, dict[str, float]] = {}
PARTS = ("bias", "rate", "cost")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--server", action="append", choices=list(SERVERS))
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--only", action="append", metavar="NAME", help="measure these clients only")
    parser.add_argument("--tokenizer", metavar="FOLDER")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 32, 128])
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the requests")
    parser.add_argument(
        "--rounds", type=int, default=1, help="rate and cost: so often in turns, and the median of each"
    )
    parser.add_argument("--out", type=Path, help="where the plot goes")
    asked = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # who starts without compiled code pays for it each time
    os.sched_setaffinity(0, {SERVER_CORE})
    everyone = clients(dict(peer.split("=", 1) for peer in asked.peer), asked.tokenizer)
    if asked.only:
        everyone = {name: client for name, client in everyone.items() if name in asked.only}
    servers, parts = asked.server or list(SERVERS), asked.part or PARTS
    for server in servers if "bias" in parts else ():
        bias(server, everyone, asked.streams, asked.scale)
    if "rate" in parts:
        rate(everyone, asked.scale, asked.rounds)
    if "cost" in parts:
        cost(servers[0], everyone, asked.scale, asked.rounds)
    if asked.out is not None:
        asked.out.write_text(bars(RESULTS), "utf-8")


if __name__ == "__main__":
    main()
