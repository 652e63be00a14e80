"""What ended an iteration, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import unittest
from collections.abc import Iterator, Sequence

import pytest

from pytest_llmperf.child_process.parent import ChildGoneError
from pytest_llmperf.client.reply import InvalidJson, RequestFailed
from pytest_llmperf.core.exchange import Exchange, FailureKind
from pytest_llmperf.iteration_log import Taken
from pytest_llmperf.wire.errors import excerpt

#: Failures that a server makes which is not there.
UNREACHABLE = {kind for kind in FailureKind if kind.value.startswith(("connect", "dns", "tls", "timeout"))}


@contextlib.contextmanager
def nothing_gone() -> Iterator[None]:
    """Where a process of the plugin's own is gone, the test in the block fails with one line that says so."""
    try:
        yield
    except ChildGoneError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def is_result(error: BaseException) -> bool:
    """Whether *error* says something about this iteration only; others end the item at once."""
    if isinstance(error, (pytest.exit.Exception, unittest.SkipTest)):
        return False
    if isinstance(error, pytest.fail.Exception):
        return not isinstance(error, pytest.xfail.Exception)  # which is a kind of failing
    return isinstance(error, Exception)


def cause_of(error: BaseException) -> RequestFailed | InvalidJson | None:
    """The failed request or the invalid reply that *error* comes from: its own, a cause, all of a group."""
    if isinstance(error, (RequestFailed, InvalidJson)):
        return error
    if isinstance(error, BaseExceptionGroup):
        causes = [cause_of(inner) for inner in error.exceptions]
        return causes[0] if None not in causes else None
    inner = error.__cause__ or error.__context__
    return None if inner is None else cause_of(inner)


def one_line(error: BaseException) -> str:
    """*error* for a warning."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}"[:200]


def invalid_reply(error: BaseException) -> str:
    """What a reply was that is not the JSON that was asked for, and why; empty for other errors."""
    cause = cause_of(error)
    if not isinstance(cause, InvalidJson):
        return ""
    ended = cause.reply.finish_reason
    how = f" (finish_reason {ended})" if ended else ""
    return f"{cause.reason}, in {excerpt(cause.reply.text)!r}{how}"


def counts_for_a_step(error: BaseException) -> bool:
    """Whether *error* is a failure of the timed step that raises it; of others the test ends."""
    return isinstance(error, asyncio.CancelledError) or is_result(error)  # a timeout around it cancels


def counted_by_a_request(error: BaseException) -> bool:
    """Whether *error* comes from a failed request or an invalid reply."""
    return cause_of(error) is not None


def request_behind(error: BaseException, exchanges: Sequence[Exchange]) -> Exchange | None:
    """The request that *error* comes from, where the test's own client raises errors of its own kinds.

    It is the one that ended last; what a test asserts comes from none.
    """
    if isinstance(error, (AssertionError, pytest.fail.Exception)):
        return None
    return max(exchanges, key=lambda exchange: exchange.done_s, default=None)


def failed_by_json(error: BaseException, taken: Taken, *, own_client: bool = False) -> bool:
    """Whether *error* says that a reply is not the JSON that was asked for."""
    behind = request_behind(error, taken.exchanges) if own_client else None
    own = behind is not None and behind.json_valid is False and isinstance(error, ValueError)
    return own or isinstance(cause_of(error), InvalidJson)


def ends_quietly(
    error: BaseException, taken: Taken, *, expected_json: bool, own_client: bool = False
) -> bool:
    """Whether *error* is counted by another metric than pass_rate, as part of what was *taken*."""
    cause = cause_of(error)
    if isinstance(cause, RequestFailed):
        return any(exchange.failure is not None for exchange in taken.exchanges)
    if isinstance(cause, InvalidJson):
        invalid = any(exchange.json_valid is False for exchange in taken.exchanges)
        return expected_json and invalid
    if own_client and (behind := request_behind(error, taken.exchanges)) is not None:
        if behind.failure is not None:
            return True
        if failed_by_json(error, taken, own_client=True):
            return expected_json
    return _comes_from(error, taken.errors)


def _comes_from(error: BaseException, known: Sequence[BaseException]) -> bool:
    """Whether *error* is one of *known*, or was raised because of one; of a group all of it."""
    if any(error is one for one in known):
        return True
    if isinstance(error, BaseExceptionGroup):
        return all(_comes_from(inner, known) for inner in error.exceptions)
    inner = error.__cause__ or error.__context__
    return inner is not None and _comes_from(inner, known)
