"""Streams that something on the way gathers and hands over at once."""

from __future__ import annotations

import pytest

from pytest_llmperf.core.buffering import buffering
from pytest_llmperf.core.health import Health
from pytest_llmperf.core.load_report import LoadReport
from pytest_llmperf.core.measure import measure
from pytest_llmperf.core.measurement import Count, Measurement
from pytest_llmperf.core.slo import Slo


def measured(*, together=19, chunks=20, ttft_s=0.2, latency_s=0.21, **more):
    series = more.pop("series", {"ttft_s": (ttft_s,) * 5, "latency_s": (latency_s,) * 5})
    same = Count(successes=together, trials=chunks)
    return Measurement(scenario="s", name="s", series=series, same_read=same, **more)


def test_a_stream_that_comes_at_once_after_a_long_wait_was_gathered():
    told = buffering(measured())
    assert "95 % of the chunks arrived in the same read" in told
    assert "the first after 200 ms" in told


@pytest.mark.parametrize(
    "fine",
    [
        measured(together=10),
        measured(ttft_s=0.01, latency_s=0.0101),  # done sooner than anybody could read
        measured(ttft_s=0.1, latency_s=0.2),
        measured(together=0, chunks=0),
        measured(load=LoadReport(profile="5 users", health=Health(late_chunks=6, chunks=100))),  # by us
        measured(series={}),
        measured(series={"ttft_s": (0.2,)}),
    ],
)
def test_an_ordinary_stream_is_none(fine):
    assert buffering(fine) is None


def test_chunks_with_one_time_stamp_came_in_one_read(request_of, iteration_of):
    one = iteration_of(
        request_of(chunk_s=(1.0, 1.0, 2.0, 2.0, 2.0), characters=7), request_of(chunk_s=(3.0,))
    )
    found = measure([one], about=Measurement(scenario="s", name="s"), slo=Slo())
    assert found.same_read == Count(successes=3, trials=4)
    assert found.characters == 7
