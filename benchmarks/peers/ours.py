"""Our own load generator: a real pytest session with a test under ``@llm_load``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tools import Call
from work import Work

TEST = """
import itertools
import json
import os

import pytest

from pytest_llmperf import llm_load, llm_slo

TOLD = {{}}
NUMBERS = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def kept():
    yield
    with open(os.environ["TOLD"], "w") as file:
        json.dump(TOLD, file)


@llm_slo(p95_ms=60_000, warmup=1)
@llm_load(users={streams}, shared_iterations={requests}{rate})
async def test_load(async_llm):
    tag = f"r{{next(NUMBERS)}}"
    reply = await async_llm.chat(tag, stream={stream})
    TOLD[tag] = (reply.ttft_ms or 0.0) / 1e3
"""

BLOCKING = """

@llm_slo(p95_ms=60_000, warmup=1, iterations={requests}, max_iterations={requests})
def test_load(llm):
    tag = f"r{{next(NUMBERS)}}"
    reply = llm.chat(tag, stream={stream})
    TOLD[tag] = (reply.ttft_ms or 0.0) / 1e3
"""


def call(work: Work, folder: Path, *, blocking: bool = False) -> Call:
    """What its users see as the time to the first token, checked against what run.json keeps."""
    rate = f", spawn_rate={work.begin_per_s}" if work.spread_s else ""
    text = TEST.partition("@llm_slo")[0] + BLOCKING if blocking else TEST
    test, told, report = folder / "test_load.py", folder / "told.json", folder / "run.json"
    test.write_text(text.format(streams=work.streams, requests=work.requests, rate=rate, stream=work.stream))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    command += [f"--rootdir={folder}", str(test), "--llm-backend=openai", f"--llm-url={work.url}"]
    command += ["--llm-model=m", f"--llm-report={report}"]

    def read() -> dict[str, float]:
        by_tag: dict[str, float] = json.loads(told.read_text())
        # each user asks once before anything is measured
        measured = {tag: ttft_s for tag, ttft_s in by_tag.items() if int(tag[1:]) >= work.streams}
        assert len(measured) == work.requests, f"{len(measured)} of {work.requests} requests were measured"
        (scenario,) = json.loads(report.read_text())["scenarios"]
        pairs = zip(sorted(scenario["series"]["ttft_s"]), sorted(measured.values()), strict=True)
        assert all(abs(kept - seen) < 1e-6 for kept, seen in pairs), "run.json must hold what the test saw"
        return measured

    return Call(command=command, read=read, environment={"TOLD": str(told)})
