from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.iteration_log import IterationLog
from pytest_llmperf.timer import Timer


@pytest.fixture
def log():
    return IterationLog()


@pytest.fixture
def timer(log):
    return Timer(
        log,
        counts=lambda error: isinstance(error, Exception),
        excuses=lambda error: isinstance(error, ConnectionError),
    )


def steps(log):
    return log.loose.take().steps


def test_a_block_is_a_step(timer, log):
    with timer("submit") as step:
        pass
    (one,) = steps(log)
    assert (one.name, one.error, one.outermost) == ("submit", None, True)
    assert step.elapsed_s == one.done_s - one.started_s > 0
    assert step.elapsed_ms == 1000 * step.elapsed_s
    assert one.due_s == one.started_s


def test_an_asynchronous_block_is_a_step(timer, log):
    async def body():
        async with timer("submit"):
            await asyncio.sleep(0)

    asyncio.run(body())
    assert [one.name for one in steps(log)] == ["submit"]


def test_every_call_of_a_function_is_a_step(timer, log):
    @timer("double")
    def double(n, *, by=2):
        """Twice."""
        return by * n

    assert [double(1), double(2, by=3)] == [2, 6]
    assert double.__doc__ == "Twice."
    assert [one.name for one in steps(log)] == ["double", "double"]


def test_every_call_of_a_coroutine_function_is_a_step(timer, log):
    @timer("double")
    async def double(n):
        await asyncio.sleep(0.01)
        return 2 * n

    async def body():
        return await asyncio.gather(double(1), double(2))

    assert asyncio.run(body()) == [2, 4]
    assert [one.done_s - one.started_s >= 0.009 for one in steps(log)] == [True, True]


def test_a_generator_is_refused_since_its_call_does_nothing(timer):
    with pytest.raises(LlmPerfUsageError, match="chunks is a generator"):

        @timer("stream")
        def chunks():
            yield 1


@pytest.mark.parametrize("name", ["", "  "])
def test_a_step_needs_a_name(timer, name):
    with pytest.raises(LlmPerfUsageError, match="expected a name"):
        timer(name)


def test_what_a_block_raises_is_a_failure_and_goes_on(timer, log):
    error = ValueError("no such job\nsecond line")
    with pytest.raises(ValueError, match="no such job"), timer("poll"):
        raise error
    taken = log.loose.take()
    assert taken.steps[0].error == "ValueError: no such job"
    assert taken.errors == (error,)


@pytest.mark.parametrize(("error", "excused"), [(ConnectionError, True), (ValueError, False)])
def test_a_failure_that_a_request_counts_is_excused(timer, log, error, excused):
    with pytest.raises(error), timer("answer"):
        raise error
    assert [(one.error, one.excused) for one in steps(log)] == [(error.__name__, excused)]


def test_an_error_without_words_has_its_type(timer, log):
    with pytest.raises(KeyError), timer("poll"):
        raise KeyError
    assert steps(log)[0].error == "KeyError"


def test_a_secret_in_an_error_is_hidden(timer, log):
    with pytest.raises(OSError, match="refused"), timer("poll"):
        raise OSError("refused: http://user:hunter2@host/?api_key=abcdef")
    error = steps(log)[0].error
    assert error == "OSError: refused: http://***@host/?api_key=***"


def test_what_ends_the_test_is_no_sample(timer, log):
    with pytest.raises(KeyboardInterrupt), timer("poll"):
        raise KeyboardInterrupt
    assert steps(log) == ()


def test_a_step_inside_a_step_is_not_outermost(timer, log):
    with timer("job"):
        with timer("submit"):
            pass
        with timer("poll"):
            pass
    with timer("next"):
        pass
    assert [(one.name, one.outermost) for one in steps(log)] == [
        ("submit", False),
        ("poll", False),
        ("job", True),
        ("next", True),
    ]


def test_after_an_error_the_next_step_is_outermost_again(timer, log):
    with pytest.raises(ValueError, match="x"), timer("a"), timer("b"):
        raise ValueError("x")
    with timer("c"):
        pass
    assert [(one.name, one.outermost) for one in steps(log)] == [("b", False), ("a", True), ("c", True)]


def test_one_step_object_may_run_in_many_threads(timer, log):
    step, together = timer("shared"), threading.Barrier(4)

    def run():
        with step:
            together.wait(10)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: run(), range(4)))
    found = steps(log)
    assert [one.outermost for one in found] == [True] * 4
    assert all(one.done_s > one.started_s for one in found)


def test_tasks_inside_a_step_are_part_of_it(timer, log):
    async def part():
        async with timer("part"):
            await asyncio.sleep(0)

    async def body():
        async with timer("whole"):
            await asyncio.gather(part(), part())

    asyncio.run(body())
    assert [(one.name, one.outermost) for one in steps(log)] == [
        ("part", False),
        ("part", False),
        ("whole", True),
    ]


def test_iterations_that_run_at_once_keep_their_own_steps(timer, log):
    def body(name):
        with log.iteration() as own:
            with timer(name):
                pass
            return own.close().steps

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda name: copy_context().run(body, name), ["a", "b"]))
    assert [[one.name for one in own] for own in found] == [["a"], ["b"]]
    assert steps(log) == ()


def test_in_an_open_loop_the_first_step_is_due_when_its_iteration_was(timer, log):
    with log.iteration(late_s=2.0) as own:
        with timer("login"), timer("inner"):
            pass
        with timer("simulate"):
            pass
    inner, login, simulate = own.close().steps
    assert login.started_s - login.due_s == 2.0
    assert inner.due_s == inner.started_s
    assert simulate.due_s == simulate.started_s


def test_a_step_that_outlives_its_iteration_is_the_item_s(timer, log):
    with log.iteration() as own:
        step = timer("late")
        step.__enter__()
    own.close()
    step.__exit__(None, None, None)
    assert [one.name for one in steps(log)] == ["late"]
