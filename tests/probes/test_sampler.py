from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from pytest_llmperf.core.resources import Usage
from pytest_llmperf.probes.sampler import Sampler
from pytest_llmperf.probes.sources import LEAST_S, Generator, Machine, Server, _Rate


class Scripted:
    """Says one thing after the other; what is an exception is raised."""

    def __init__(self, name, values):
        self.names = (name,)
        self._values = iter(values)
        self.closed = 0

    def sample(self, _):
        value = next(self._values)
        if isinstance(value, Exception):
            raise value
        return {} if value is None else {self.names[0]: value}

    def close(self):
        self.closed += 1


def sampler_of(*sources, times, **more):
    clock = iter(times)
    return Sampler(sources, missing={}, interval_s=3600, clock=lambda: next(clock), **more)


def test_mean_is_weighted_by_time_and_peak_is_the_largest():
    sampler = sampler_of(Scripted("rss_mb", [50.0, 10.0, 40.0]), times=[100.0, 100.0, 101.0, 104.0])
    sampler.begin()
    assert sampler.taken.usage["rss_mb"] == Usage(mean=10.0, peak=50.0, n=2)
    sampler.end()
    used = sampler.taken
    assert used.usage["rss_mb"] == Usage(mean=32.5, peak=50.0, n=3)
    assert used.seconds == 4.0
    assert used.at_s == (0.0, 1.0, 4.0)
    assert used.line == {"rss_mb": (50.0, 10.0, 40.0)}


def test_before_it_begins_nothing_is_taken():
    source = Scripted("rss_mb", [])
    sampler = sampler_of(source, times=[])
    assert sampler.taken.usage == {}
    sampler.end()
    assert source.closed == 1
    sampler.begin()  # too late
    assert sampler.taken.usage == {}


def test_what_ended_stays_as_it_was():
    source = Scripted("rss_mb", [1.0, 2.0])
    sampler = sampler_of(source, times=itertools.count(0.0))
    sampler.begin()
    sampler.end()
    sampler.end()
    assert source.closed == 1
    assert sampler.taken == sampler.taken


def test_a_source_that_breaks_ends_alone_and_says_so():
    good = Scripted("rss_mb", itertools.repeat(7.0))
    bad = Scripted("cpu_percent", [None, ValueError("no such file")])
    sampler = sampler_of(bad, good, times=itertools.count(0.0))
    sampler.begin()
    used = sampler.taken
    sampler.end()
    assert used.missing == {"cpu_percent": "sampling broke (ValueError: no such file)"}
    assert sampler.taken.usage["rss_mb"].n == 3


def test_a_scenario_too_short_for_cpu_says_so():
    sampler = sampler_of(Scripted("cpu_percent", itertools.repeat(None)), times=[0.0, 0.0, 0.1, 0.1])
    sampler.begin()
    sampler.end()
    assert sampler.taken.missing == {"cpu_percent": "it was measured for less than 0.2 s, too short to tell"}


def test_what_was_never_told_is_missing():
    sampler = sampler_of(Scripted("gpu_power_w", itertools.repeat(None)), times=[0.0, 0.0, 9.0])
    sampler.begin()
    sampler.end()
    assert sampler.taken.missing == {"gpu_power_w": "nothing was told of it"}


def test_it_samples_by_itself_and_its_thread_ends():
    enough = threading.Event()

    class Counting(Scripted):
        def sample(self, now_s):
            found = super().sample(now_s)
            if found["rss_mb"] >= 4:
                enough.set()
            return found

    sampler = Sampler([Counting("rss_mb", map(float, itertools.count()))], missing={}, interval_s=0.001)
    sampler.begin()
    sampler.begin()
    assert enough.wait(10)
    sampler.end()
    assert "llmperf resources" not in {thread.name for thread in threading.enumerate()}
    assert sampler.taken.usage["rss_mb"].n >= 5


def test_a_rate_is_work_over_time():
    rate = _Rate()
    assert rate.percent(123.0, 10.0) is None  # of an unknown time
    assert rate.percent(0.5, 12.0) == 25.0


def test_a_rate_waits_until_its_time_is_long_enough_to_tell():
    rate = _Rate()
    rate.percent(0.0, 0.0)
    assert rate.percent(0.1, LEAST_S / 2) is None
    assert rate.percent(0.1, LEAST_S) == pytest.approx(100 * 0.2 / LEAST_S)


class Process:
    """A process that works 0.3 s between two looks."""

    def __init__(self, pid, rss):
        self.pid = pid
        self._rss = rss
        self._worked = itertools.count(start=pid, step=0.3)

    def oneshot(self):
        import contextlib

        return contextlib.nullcontext()

    def status(self):
        return "sleeping"

    def cpu_times(self):
        from types import SimpleNamespace

        worked = next(self._worked)
        return SimpleNamespace(user=worked / 3, system=2 * worked / 3)

    def memory_info(self):
        from types import SimpleNamespace

        return SimpleNamespace(rss=self._rss)


def test_a_server_is_all_its_processes():
    processes = [Process(1, 3_000_000), Process(2, 4_000_000)]
    server = Server(lambda: processes)
    assert server.sample(0.0) == {"rss_mb": 7.0}
    found = server.sample(1.0)
    assert found["rss_mb"] == 7.0
    assert found["cpu_percent"] == pytest.approx(60.0)


def test_a_child_that_comes_later_is_counted_from_then_on():
    processes = [Process(1, 3_000_000)]
    server = Server(lambda: list(processes))
    server.sample(0.0)
    processes.append(Process(500, 4_000_000))  # 500 s of CPU before anybody looked
    assert server.sample(2.0)["cpu_percent"] == pytest.approx(15.0)
    assert server.sample(4.0)["cpu_percent"] == pytest.approx(30.0)


def test_a_server_that_is_gone_tells_nothing():
    assert Server(list).sample(0.0) == {}


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="only POSIX systems keep what has ended")
def test_a_server_that_ended_and_was_not_waited_for_is_gone():
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    server = Server(lambda: [psutil.Process(process.pid)])
    process.stdout.read()  # until it is closed: the process ends, or has
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has, and stays a zombie
    assert server.sample(0.0) == {}
    process.communicate()


def test_the_generator_is_this_process():
    generator = Generator()
    generator.sample(time.perf_counter())
    end = time.process_time() + LEAST_S + 0.05
    while time.process_time() < end:
        pass  # work
    found = generator.sample(time.perf_counter())
    assert 5 < found["generator_cpu_percent"] < 1000
    assert found["generator_rss_mb"] > 5


def test_the_machine_has_memory_and_a_processor():
    machine = Machine()
    machine.sample(0.0)
    found = machine.sample(1.0)
    assert found["machine_memory_mb"] > 50
    assert 0 <= found["machine_cpu_percent"] <= 100
