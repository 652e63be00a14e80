"""What many samples cost, from the exchange to the report: whether time is linear and memory bounded.

    python benchmarks/growth.py [--part steps --part sessions] [--sizes 1000 10000 ...]

Two tables. *Steps*: processor time and memory of each step of the way, in one process per size that makes
streamed answers of 32 tokens instead of asking a server; they are judged against a stored run of as many.
*Sessions*: peak memory of whole pytest sessions, by themselves, on a worker of xdist, with their load shared
by two processes, and without a load profile. What the imported libraries take is measured in the same way,
with a handful of samples, and subtracted. On a busy machine, ``chrt -f 10`` before the command makes times
quieter; a million samples take half a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

BESIDE = Path(__file__).parent / "peers"
sys.path.insert(0, str(BESIDE))

from process import run  # noqa: E402 - it lies beside this script

from pytest_llmperf.core import codec  # noqa: E402
from pytest_llmperf.core.baseline import History, StoredRun  # noqa: E402
from pytest_llmperf.core.exchange import Exchange, Tokens  # noqa: E402
from pytest_llmperf.core.iteration import Iteration  # noqa: E402
from pytest_llmperf.core.judge import judge  # noqa: E402
from pytest_llmperf.core.measurement import Measurement  # noqa: E402
from pytest_llmperf.core.run import Run, Scenario  # noqa: E402
from pytest_llmperf.core.slo import build, parse_arguments  # noqa: E402
from pytest_llmperf.core.tally import Tally  # noqa: E402
from pytest_llmperf.mock.process import start_mock  # noqa: E402
from pytest_llmperf.reports.write import write  # noqa: E402
from pytest_llmperf.stores.directory import DirectoryStore  # noqa: E402

#: Promised, in MB over the imported libraries.
PROMISED = {100_000: 60}
STEPS = ("measure", "judge", "carry", "report", "store")
REPORTS = ("run.json", "run.html", "run.md", "run.csv")
ABOUT = Measurement(scenario="test_chat.py::test_chat", name="test_chat", backend="openai", model="m")
SLO = build(parse_arguments({"p95_ms": 400, "ttft_p95_ms": 100}, where="here"))
FEW = 200  #: samples with which everything is imported
_TOGETHER = 256  #: samples made at a time
#: Threads of numpy's library that wait for work would count as processor time.
_ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
_MOST = 100_000  #: samples of a whole session, which takes a minute then

SESSION = """
from pytest_llmperf import llm_load, llm_slo


@llm_slo(p95_ms=60_000, warmup=1{arguments})
{load}async def test_chat(async_llm):
    await async_llm.chat("hello")
"""
LOAD = "@llm_load(users=16, shared_iterations={size})\n"
LOOP = ", iterations={size}, max_iterations={size}"
#: What the session's server answers, as fast as it can.
MOCK = {
    "latency": {"ttft": "0s", "itl": "0s"},
    "replies": [{"regex": "", "text": "one two three four"}],
    "log_size": 0,
}
#: A kind of session -> its options, and whether it has a load profile.
SESSIONS = {
    "under a load profile": ((), True),
    "the same on a worker of xdist": (("-n1",), True),
    "the same by two processes": (("--llm-processes=2",), True),
    "one after another": ((), False),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", action="append", choices=("steps", "sessions"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # in the process of one size
    asked = parser.parse_args()
    if asked.one is not None:
        print(json.dumps(one(asked.one)))
        return
    if "steps" in (asked.part or ("steps",)):
        steps(asked.sizes)
    if "sessions" in (asked.part or ("sessions",)):
        sessions([size for size in asked.sizes if size <= _MOST])


def steps(sizes: Sequence[int]) -> None:
    """Time and memory of each step of the way, for so many samples."""
    print(
        "CPU seconds   " + "".join(f"{name:>9}" for name in STEPS) + "      all  us/sample  to the row before"
    )
    rows = []
    for size in sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        told = json.loads(
            subprocess.run(command, check=True, stdout=subprocess.PIPE, env=_ENVIRONMENT).stdout
        )
        total_s = sum(told[name] for name in STEPS)
        each_us = total_s / size * 1e6
        ratio = f"x{each_us / rows[-1][1]:.2f}" if rows else ""
        columns = "".join(f"{told[name]:9.3f}" for name in STEPS)
        print(f"{size:14,}{columns}{total_s:9.2f}{each_us:11.1f}{ratio:>19}", flush=True)
        rows.append((size, each_us, told))
    print("\npeak memory over the imported libraries at the end of each step, MB")
    print(f"{'samples':>14}" + "".join(f"{name:>9}" for name in STEPS) + "   bytes/sample  imported")
    for size, _, told in rows:
        columns = "".join(f"{told[f'{name}_mb']:9.1f}" for name in STEPS)
        each = told[f"{STEPS[-1]}_mb"] / size * 1e6
        promised = f"   promised: {PROMISED[size]} MB" if size in PROMISED else ""
        print(f"{size:14,}{columns}{each:15,.0f}{told['imported_mb']:10.0f}{promised}")


def one(size: int) -> dict[str, float]:
    """What *size* samples cost."""
    way(FEW)
    imported_mb = peak_mb()
    told = way(size)
    return {
        **told,
        **{f"{name}_mb": told[f"{name}_mb"] - imported_mb for name in STEPS},
        "imported_mb": imported_mb,
    }


def way(size: int) -> dict[str, float]:
    """Seconds of processor time of each step, and the peak memory at its end."""
    told: dict[str, float] = {}
    scenario = judged(size, told)
    with tempfile.TemporaryDirectory() as name, step("report", told):
        write(Run(started="", scenarios=(scenario,)), REPORTS, directory=Path(name))
    with tempfile.TemporaryDirectory() as name, step("store", told):
        store = DirectoryStore(Path(name))
        store.save(stored(scenario.measurement), append=False)
        assert store.history(ABOUT.scenario).problem is None
    return told


def judged(size: int, told: dict[str, float]) -> Scenario:
    """*size* samples as the session that writes the reports gets them."""
    tally = Tally(about=ABOUT, slo=SLO, prices={})
    for batch in batches(size):
        with step("measure", told):
            for iteration in batch:
                tally.add(iteration)
    with step("measure", told):
        measurement = tally.measurement()
    del tally, batch, iteration
    with step("judge", told):
        verdict = judge(measurement, SLO, History(runs=(stored(measurement),)))
    with step("carry", told):
        text = codec.dumps(Scenario(measurement=measurement, slo=SLO, verdict=verdict))
        del measurement
        return codec.loads(text, Scenario)


@contextlib.contextmanager
def step(name: str, told: dict[str, float]) -> Iterator[None]:
    """A part of the step *name*: its processor time is added up."""
    began_s = time.process_time()
    yield
    told[name] = told.get(name, 0.0) + time.process_time() - began_s
    told[f"{name}_mb"] = peak_mb()


def stored(measurement: Measurement) -> StoredRun:
    return StoredRun(
        scenario=ABOUT.scenario,
        saved="2026-01-01T00:00:00",
        facts=measurement.facts,
        series=measurement.series,
        proportions=measurement.proportions,
    )


def batches(size: int) -> Iterator[list[Iteration]]:
    """Streamed answers of 32 tokens, some at a time."""
    rng = Random(0)
    for start in range(0, size, _TOGETHER):
        yield [answer(number, rng) for number in range(start, min(size, start + _TOGETHER))]


def answer(number: int, rng: Random) -> Iteration:
    due_s = number * 1e-3
    first_s = due_s + rng.lognormvariate(-3.0, 0.1)
    chunks = tuple(first_s + 0.005 * at for at in range(32))
    exchange = Exchange(
        due_s=due_s,
        sent_s=due_s,
        first_byte_s=first_s,
        first_token_s=first_s,
        first_answer_s=first_s,
        chunk_s=chunks,
        done_s=chunks[-1],
        model="m",
        finish_reason="stop",
        tokens=Tokens(input=10, output=32),
    )
    return Iteration(started_s=due_s, done_s=chunks[-1], exchanges=(exchange,))


def peak_mb() -> float:
    """The most resident memory so far."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("no VmHWM: this needs Linux")


def sessions(sizes: Sequence[int]) -> None:
    """Peak memory of whole sessions, all their processes together."""
    print(f"\nwhole sessions: peak of all their processes together over a session with {FEW} samples, MB")
    print(f"{'samples':30}" + "".join(f"{size:>10,}" for size in sizes) + "  imported")
    with start_mock(MOCK) as server:
        for name, (options, loaded) in SESSIONS.items():
            asked = [*options, "--llm-backend=openai", f"--llm-url={server.url}", "--llm-model=m"]
            imported_mb = session(FEW, asked, loaded=loaded)
            grown = [session(size, asked, loaded=loaded) - imported_mb for size in sizes]
            print(f"{name:30}" + "".join(f"{mb:10.1f}" for mb in grown) + f"{imported_mb:10.0f}", flush=True)


def session(size: int, options: Sequence[str], *, loaded: bool) -> float:
    """Peak memory of a session with *size* samples, in MB."""
    load, arguments = (LOAD.format(size=size), "") if loaded else ("", LOOP.format(size=size))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        test = folder / "test_chat.py"
        test.write_text(SESSION.format(load=load, arguments=arguments), "utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}"]
        command += [str(test), *options, *(f"--llm-report={folder / report}" for report in REPORTS)]
        return run(command, core=max(os.sched_getaffinity(0)), timeout_s=900, LOG=str(folder / "log")).peak_mb


if __name__ == "__main__":
    main()
