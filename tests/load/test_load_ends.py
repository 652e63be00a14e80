"""A closed loop ends when nothing is left to begin, on threads and in an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from random import Random

import pytest

from pytest_llmperf.load import tasks, threads
from pytest_llmperf.load.control import Control
from pytest_llmperf.load.plan import Users

_NEVER_S = 3600.0


def on_threads(plan, control, *, seconds):
    """Carry *plan* out with a body that takes so long; whether that came to an end by itself."""

    def run():
        threads.run(plan, lambda _: time.sleep(seconds), control, **rules())

    running = threading.Thread(target=run, daemon=True)
    running.start()
    running.join(10)
    return not running.is_alive()


def in_loop(plan, control, *, seconds):
    """The same in an event loop."""

    async def run():
        running = asyncio.create_task(tasks.run(plan, lambda _: asyncio.sleep(seconds), control, **rules()))
        done, _ = await asyncio.wait([running], timeout=10)
        return bool(done)

    return asyncio.run(run())


def rules():
    return {"think": lambda _: _NEVER_S, "grace_s": 0.0, "rng": Random(0)}


both = pytest.mark.parametrize("carried_out", [on_threads, in_loop])


@both
def test_nobody_thinks_on_when_the_last_shared_iteration_has_begun_elsewhere(carried_out):
    control = Control(shared=2)
    assert carried_out(Users(starts_s=(0.0, 0.05), shared=2), control, seconds=0.0)
    assert (control.reason, control.interrupted) == ("", 0)


@both
def test_who_was_still_to_come_does_not_when_all_that_is_shared_has_begun(carried_out):
    assert carried_out(Users(starts_s=(0.0, _NEVER_S), shared=1), Control(shared=1), seconds=0.0)


@both
def test_the_last_shared_iteration_is_not_cut_short_for_being_the_last(carried_out):
    control = Control(shared=2)
    assert carried_out(Users(starts_s=(0.0, 0.0), shared=2), control, seconds=0.1)
    assert control.interrupted == 0


def test_a_body_that_cancels_itself_is_not_taken_for_one_that_the_end_cut_off():
    async def cancelled(_):
        raise asyncio.CancelledError

    control = Control(until_s=_NEVER_S)
    asyncio.run(tasks.run(Users(starts_s=(0.0, _NEVER_S)), cancelled, control, **rules()))
    assert isinstance(control.error, asyncio.CancelledError)
    assert control.interrupted == 0


def test_a_body_that_the_end_cuts_off_is_counted_as_that():
    control = Control(until_s=0.05)
    asyncio.run(tasks.run(Users(starts_s=(0.0,)), lambda _: asyncio.sleep(_NEVER_S), control, **rules()))
    assert (control.error, control.interrupted) == (None, 1)
