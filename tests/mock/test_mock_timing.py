from __future__ import annotations

import asyncio
import json
from random import Random
from statistics import mean, median
from time import perf_counter_ns

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.config import parse_config
from pytest_llmperf.mock.distribution import parse_distribution, parse_duration
from pytest_llmperf.mock.state import State
from pytest_llmperf.mock.timers import LoopAlarm, Timers


def draws(text, count=20_000):
    distribution = parse_distribution(text, where="x")
    rng = Random(1)
    return [distribution.draw(rng) for _ in range(count)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("55ms", 0.055), ("1.5s", 1.5), ("200us", 2e-4), ("2min", 120), ("0", 0), (0, 0.0), ("7 µs", 7e-6)],
)
def test_durations_carry_their_unit(text, seconds):
    assert parse_duration(text, where="x") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["55", "ms", "-5ms", "1e9s", 5, None, True, "5 parsecs"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(LlmPerfUsageError, match="x: "):
        parse_duration(text, where="x")


@pytest.mark.parametrize(
    ("text", "statistic", "expected"),
    [
        ("constant(1ms)", mean, 0.001),
        ("uniform(1ms, 3ms)", mean, 0.002),
        ("normal(10ms, 1ms)", mean, 0.010),
        ("lognormal(55ms, 0.1)", median, 0.055),
        ("gamma(10ms, 5ms)", mean, 0.010),
        ("exponential(10ms)", mean, 0.010),
    ],
)
def test_distributions_have_the_location_that_they_are_written_with(text, statistic, expected):
    assert statistic(draws(text)) == pytest.approx(expected, rel=0.03)


def test_the_sigma_of_a_lognormal_is_its_relative_width():
    values = sorted(draws("lognormal(100ms, 0.1)"))
    assert values[int(0.8413 * len(values))] / 0.1 == pytest.approx(1.105, rel=0.01)


def test_a_normal_is_never_negative():
    assert min(draws("normal(1ms, 5ms)")) == 0


def test_a_csv_gives_its_column(tmp_path):
    (tmp_path / "d.csv").write_text("ttft_ms,itl_ms\n10,1\n20,2\n", encoding="utf-8")
    config = parse_config(
        {"latency": {"ttft": "empirical(d.csv, ttft_ms)", "itl": "empirical(d.csv,itl_ms)"}}, folder=tmp_path
    )
    rng = Random(0)
    assert {round(config.latency.ttft.draw(rng), 6) for _ in range(50)} == {0.01, 0.02}
    assert {round(config.latency.itl.draw(rng), 6) for _ in range(50)} == {0.001, 0.002}


def test_an_earlier_run_gives_its_series(tmp_path):
    run = {"scenarios": [{"series": {"ttft_s": [0.1, 0.2]}}, {"series": {"ttft_s": [0.3]}}]}
    (tmp_path / "run.json").write_text(json.dumps(run), encoding="utf-8")
    config = parse_config({"latency": {"ttft": "empirical(run.json)"}}, folder=tmp_path)
    again = parse_config(json.loads(config.section))  # what the server's process is given
    assert {again.latency.ttft.draw(Random(at)) for at in range(50)} == {0.1, 0.2, 0.3}


def delays(section, count=30, steps=5):
    state = State(parse_config(section))
    out = []
    for _ in range(count):
        out.append(state.draw_delays(steps, state.started_ns))
        state.number += 1
    return out


def test_the_same_seed_gives_the_same_delays():
    section = {"latency": {"ttft": "lognormal(55ms, 0.3)", "itl": "gamma(2ms, 1ms)"}}
    assert delays(section) == delays(section)
    assert delays(section) != delays({**section, "seed": 1})


def test_the_first_token_of_a_request_does_not_depend_on_the_length_of_others():
    section = {"latency": {"ttft": "lognormal(55ms, 0.3)", "itl": "gamma(2ms, 1ms)"}}
    assert [ttft for ttft, _ in delays(section, steps=5)] == [ttft for ttft, _ in delays(section, steps=50)]


def test_a_step_changes_the_level_after_so_many_requests():
    section = {"latency": {"ttft": "10ms", "itl": "0", "steps": [{"after": 3, "factor": 1.5}]}}
    assert [ttft for ttft, _ in delays(section, 5)] == [10_000_000] * 3 + [15_000_000] * 2


def test_a_step_may_come_after_a_time():
    latency = parse_config({"latency": {"steps": [{"after": "10s", "factor": 2}]}}).latency
    assert [latency.factor(99, now) for now in (9.9, 10.0)] == [1.0, 2.0]


def test_drift_grows_with_every_request():
    section = {"latency": {"ttft": "10ms", "itl": "0", "drift": {"per": 10, "rate": "1%"}}}
    values = [ttft for ttft, _ in delays(section, 21)]
    assert (values[0], values[10], values[20]) == (10_000_000, 10_100_000, 10_200_000)


#: A busy machine makes an answer late, but not every one of so many.
TRIES = 5


def first_tokens(server):
    return [request.first_token_s - request.arrived_s for request in server.requests]


def test_prefill_time_depends_on_the_length_of_the_prompt(start, chat):
    server = start(latency={"ttft": "0", "itl": "0", "prefill": "1ms"})
    for text in ["x" * 4] * TRIES + ["x" * 160]:
        chat(server, text)
    *short, long = first_tokens(server)
    assert min(short) < 0.04 <= long


def test_a_cold_start_delays_the_first_request_only(start, chat):
    server = start(latency={"ttft": "0", "itl": "0", "cold_start": "60ms"})
    for _ in range(1 + TRIES):
        chat(server)
    first, *others = first_tokens(server)
    assert first >= 0.06 > min(others)


def test_latency_may_be_changed_while_it_runs(mock, chat):
    mock.latency(ttft="30ms")
    for _ in range(TRIES):
        chat(mock)
    mock.latency(itl="10ms")  # the other half stays
    chat(mock, max_tokens=3)
    *before, after = ((request.last_byte_s - request.arrived_s) for request in mock.requests)
    assert 0.03 <= min(before) < 0.05 <= after


def test_a_stream_keeps_its_rhythm_without_being_early(start, chat):
    server = start(latency={"ttft": "20ms", "itl": "2ms"})
    for _ in range(5):
        chat(server, stream=True)
    assert min(first_tokens(server)) >= 0.020
    for request in server.requests:
        assert request.last_byte_s - request.arrived_s >= 0.020 + 19 * 0.002


def test_a_plain_answer_takes_as_long_as_a_stream(start, chat):
    server = start(latency={"ttft": "20ms", "itl": "2ms"})
    chat(server)
    (request,) = server.requests
    assert request.last_byte_s - request.arrived_s >= 0.020 + 19 * 0.002


@pytest.mark.parametrize("fallback", [False, True])
def test_no_timer_fires_early_and_all_fire_in_order(fallback, monkeypatch):
    if fallback:
        monkeypatch.setattr("pytest_llmperf.mock.timers.make_alarm", LoopAlarm)

    async def run():
        timers = Timers(asyncio.get_running_loop())
        fired: list[tuple[int, int]] = []
        done = asyncio.Event()
        now = perf_counter_ns()
        deadlines = [now + at * 137_000 for at in (50, 3, 3, 90, 1, -5, 20, 7)]

        def ring(deadline):
            fired.append((deadline, perf_counter_ns()))
            if deadline == deadlines[1] and len(fired) < 4:
                timers.at(now + 4 * 137_000, ring)  # set while it rings
            if len(fired) == len(deadlines) + 1:
                done.set()

        for deadline in deadlines:
            timers.at(deadline, ring)
        await asyncio.wait_for(done.wait(), 5)
        timers.close()
        return fired

    fired = asyncio.run(run())
    assert all(at >= deadline for deadline, at in fired)
    assert [deadline for deadline, _ in fired] == sorted(deadline for deadline, _ in fired)
