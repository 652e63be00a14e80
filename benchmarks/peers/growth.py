"""What SIZE samples cost from the exchange to the report. Run: ``python growth.py SIZE``; it prints JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from random import Random

import numpy  # noqa: F401, ICN001 - what judging imports is no part of what grows
import scipy.special  # noqa: F401

from pytest_llmperf.core.baseline import History
from pytest_llmperf.core.exchange import Exchange, Tokens
from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.core.judge import judge
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.run import Run, Scenario
from pytest_llmperf.core.slo import build, parse_arguments
from pytest_llmperf.core.tally import Tally
from pytest_llmperf.reports.json import render

SLO = build(parse_arguments({"p95_ms": 400, "ttft_p95_ms": 100}, where="here"))


def iteration(number: int, rng: Random) -> Iteration:
    """A streamed answer of 32 tokens."""
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


def go(size: int) -> dict[str, float]:
    """Seconds of processor time of each step; that of making the samples is in the first."""
    rng, clock = Random(0), time.process_time
    start_s = clock()
    tally = Tally(about=Measurement(scenario="s", name="s", backend="b"), slo=SLO, prices={})
    for number in range(size):
        tally.add(iteration(number, rng))
    measurement = tally.measurement()
    del tally
    taken_s = clock()
    verdict = judge(measurement, SLO, History())
    judged_s = clock()
    render(Run(started="", scenarios=(Scenario(measurement=measurement, slo=SLO, verdict=verdict),)))
    return {
        "take_in_s": taken_s - start_s,
        "judge_s": judged_s - taken_s,
        "report_s": clock() - judged_s,
    }


def peak_mb() -> float:
    """The most resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    go(100)  # imports what is imported late
    imported_mb = peak_mb()
    told = go(int(sys.argv[1]))
    print(json.dumps({**told, "imported_mb": imported_mb, "grown_mb": peak_mb() - imported_mb}))
