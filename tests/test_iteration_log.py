"""What is recorded reaches the iteration whose context recorded it, from threads and tasks."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from pytest_llmperf.core.exchange import Exchange
from pytest_llmperf.core.iteration import NamedCheck, TimedStep
from pytest_llmperf.iteration_log import IterationLog, Taken


def exchange(number: int, *, json_valid: bool | None = None) -> Exchange:
    return Exchange(due_s=number, sent_s=number, done_s=number + 1, json_valid=json_valid)


def test_iterations_on_threads_are_told_apart():
    log = IterationLog()
    started = threading.Barrier(4)
    taken = {}

    def iterate(number):
        with log.iteration() as own:
            started.wait()
            log.add(exchange(number))
            log.check(NamedCheck(name=str(number), passed=True))
            started.wait()
            taken[number] = own.close()

    threads = [threading.Thread(target=iterate, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken == {
        number: Taken(exchanges=(exchange(number),), checks=(NamedCheck(name=str(number), passed=True),))
        for number in range(4)
    }
    assert log.loose.take() == Taken()


def test_tasks_inherit_the_iteration_of_the_task_that_made_them():
    log = IterationLog()

    async def inner(number):
        await asyncio.sleep(0)
        log.add(exchange(number))

    async def iterate(number):
        with log.iteration() as own:
            await asyncio.gather(inner(number), asyncio.create_task(inner(number)))
            await asyncio.to_thread(log.add, exchange(number))
            return own.close()[0]

    async def both():
        return await asyncio.gather(iterate(1), iterate(2))

    assert asyncio.run(both()) == [(exchange(1),) * 3, (exchange(2),) * 3]


def test_a_thread_without_context_records_for_the_item_only():
    log = IterationLog()
    with log.iteration() as own:
        thread = threading.Thread(target=log.add, args=(exchange(1),), daemon=True)
        # What Python 3.14 may do by itself must not decide where a request is counted in this test.
        contextvars.Context().run(thread.start)
        thread.join()
        assert own.close() == Taken()
    assert log.loose.take() == Taken(exchanges=(exchange(1),))


def test_what_comes_after_the_end_goes_to_the_item():
    log = IterationLog()
    with log.iteration() as own:
        own.close()
        log.add(exchange(1))
        log.check(NamedCheck(name="late", passed=True))
    assert log.loose.take() == Taken(exchanges=(exchange(1),), checks=(NamedCheck(name="late", passed=True),))


def test_two_items_do_not_share_an_iteration():
    one, other = IterationLog(), IterationLog()
    with one.iteration() as own:
        other.add(exchange(1))
        assert own.close() == Taken()
    assert other.loose.take()[0] == (exchange(1),)


def test_another_context_may_amend_what_was_recorded():
    log = IterationLog()
    with log.iteration() as own:
        handle = log.add(exchange(1))
        contextvars.Context().run(log.amend, handle, exchange(1, json_valid=True))
        assert own.close()[0] == (exchange(1, json_valid=True),)


def test_amending_after_the_end_changes_nothing():
    log = IterationLog()
    with log.iteration() as own:
        handle = log.add(exchange(1))
        own.close()
    log.amend(handle, exchange(2))
    assert log.loose.take() == Taken()


def test_a_step_and_the_first_request_inside_are_both_due_when_the_iteration_was():
    log = IterationLog()
    with log.iteration(late_s=2.5) as own:
        assert [own.step_due_s(100.0), log.due_s(100.1)] == [97.5, pytest.approx(97.6)]
        assert [own.step_due_s(200.0), log.due_s(200.1)] == [200.0, 200.1]


def test_what_comes_after_the_first_thing_of_an_iteration_is_due_when_it_is_asked_for():
    log = IterationLog()
    with log.iteration(late_s=2.5) as own:
        assert [log.due_s(100.0), own.step_due_s(101.0)] == [97.5, 101.0]
    with log.iteration(late_s=2.5) as own:
        assert own.step_due_s(100.0) == 97.5
        own.step(TimedStep(name="look up", due_s=97.5, started_s=100.0, done_s=101.0), None)
        assert log.due_s(102.0) == 102.0


@pytest.mark.parametrize("late_s", [0.0, 2.5])
def test_only_the_first_request_of_an_iteration_is_due_when_the_iteration_was(late_s):
    log = IterationLog()
    with log.iteration(late_s=late_s):
        assert [log.due_s(100.0), log.due_s(200.0)] == [100.0 - late_s, 200.0]
    assert log.due_s(300.0) == 300.0
