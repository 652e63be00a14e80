"""Members of a weighted mix: the first that pytest runs has all measured, the others get their results."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from pytest_llmperf import scenario
from pytest_llmperf.conducting.taking_part import TakingPart
from pytest_llmperf.conducting.together import Together, conducted, let_go
from pytest_llmperf.core import codec
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.measurement import without_setup
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.ending import one_line
from pytest_llmperf.fixtures import GIVEN
from pytest_llmperf.load.rhythm import Rhythm
from pytest_llmperf.markers import asks_backend
from pytest_llmperf.mixes.mix import Mix, load_of, mix_of, taking_part
from pytest_llmperf.mixes.results import Ended, Left
from pytest_llmperf.mixes.shared_fixtures import fixtures_of, own_parameter
from pytest_llmperf.reports.junit import properties
from pytest_llmperf.sharing import SETUP, rig_for, setup_of
from pytest_llmperf.transport import INTERRUPTED, RESULT


@contextmanager
def repeated(item: pytest.Function) -> Iterator[None]:
    """As `scenario.repeated`, for a member of a mix: lead the mix, or give the member its result."""
    mix = mix_of(item)
    assert mix is not None
    body, rig = item.obj, rig_for(item)
    with rig.turn():
        left = Left(item.config, None if rig.turn_lock is None else rig.turn_lock.parent)
        try:
            if (ended := left.take(item)) is not None:
                with _given(item, ended):
                    yield
            else:
                with _led(item, mix, left):
                    yield
        finally:
            item.obj = body
            let_go(item)


class _Result:
    """Stands for the body of a member that was measured before: fails it, or not."""

    def __init__(self, failure: BaseException | None) -> None:
        self._failure = failure

    def on_threads(self, body: Callable[..., Any], arguments: Mapping[str, Any]) -> None:  # noqa: ARG002 - it ran
        """See `together.Conductor`."""
        __tracebackhide__ = True
        if self._failure is not None:
            raise self._failure

    async def in_loop(self, body: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        """See `together.Conductor`."""
        __tracebackhide__ = True
        self.on_threads(body, arguments)


@contextmanager
def _given(item: pytest.Function, ended: Ended) -> Iterator[None]:
    """Give *item* its result instead of running it."""
    item.obj = conducted(item, _Result(ended.failure), claimed=scenario.is_claimed(item))
    try:
        yield
    finally:
        _report(item, ended.text)


def _report(item: pytest.Function, text: str) -> None:
    item.stash[RESULT] = text
    item.user_properties += properties(codec.loads(text, Scenario))  # for --junitxml


@contextmanager
def _led(item: pytest.Function, mix: Mix, left: Left) -> Iterator[None]:
    """Run the whole mix in *item*'s place, and leave the others their results."""
    with ExitStack() as stack:
        try:
            parts, rhythm = _parts(item, mix, stack)
        except LlmPerfUsageError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        together = Together(parts, leader=item, rhythm=rhythm, name=f"{setup_of(item)} mix {mix.name}")
        item.obj = conducted(item, together, claimed=scenario.is_claimed(item))
        try:
            yield
        except (pytest.skip.Exception, unittest.SkipTest, pytest.xfail.Exception) as error:
            together.end_early(error)
            raise
        except (KeyboardInterrupt, pytest.exit.Exception) as error:
            together.end_early(error)
            # pytest makes no report of it, or one with this same text.
            kept = [codec.dumps(part.measuring.result) for part in parts]
            item.config.stash.setdefault(INTERRUPTED, []).extend(kept)
            raise
        finally:
            for part in parts:
                part.measuring.put_away()
                text = codec.dumps(part.measuring.result)
                if part.item is item:
                    _report(item, text)
                elif together.judged:
                    left.leave(part.item, Ended(text=text, failure=part.failure))


def _parts(item: pytest.Function, mix: Mix, stack: ExitStack) -> tuple[list[TakingPart], Rhythm]:
    """Everyone who takes part, set up, and the profile. Raises LlmPerfUsageError."""
    if mix.profile is None or mix.owner is None:
        raise LlmPerfUsageError(
            f"mix {mix.name!r}: no test that was collected gives its profile. Give it on one member, such as "
            f"@llm_load(mix={mix.name!r}, weight=75, rate=20, duration='1m'), or the same on all."
        )
    arguments: dict[pytest.Function, Mapping[str, Any]] = {}
    absent = []
    for member in taking_part(item, mix):
        try:
            arguments[member] = {} if member is item else _arguments(member, item, stack)
        except (Exception, pytest.skip.Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - the user's fixture
            absent.append(f"{member.name} took no part in the mix, its fixtures failed: {one_line(error)}")
    rhythm = rig_for(item).rhythm(mix.profile, directory=mix.owner.path.parent)
    rhythm = replace(rhythm, mix=_in_words(mix, list(arguments), setup_of(item)))
    parts = [
        TakingPart(
            item=member,
            measuring=scenario.measuring_of(member, profile=rhythm.fact),
            arguments=arguments[member],
        )
        for member in arguments
    ]
    shared = next((part.measuring.sampler for part in parts if asks_backend(part.item)), None)
    for part in parts:
        part.measuring.remarks += absent
        if shared is not None and part.measuring.sampler not in {None, shared}:
            part.measuring.sampler.end()
            part.measuring.sampler = shared  # one is enough to see the server and this machine
    return parts, rhythm


def _in_words(mix: Mix, members: list[pytest.Function], setup: str) -> str:
    """``mix frontdoor: test_sector 75 %, test_general 25 %``."""
    total = sum(load_of(member).weight for member in members)
    shares = [
        f"{without_setup(member.name, setup)} {100 * load_of(member).weight / total:.3g} %"
        for member in members
    ]
    return f"mix {mix.name}: {', '.join(shares)}"


def _arguments(member: pytest.Function, leader: pytest.Function, stack: ExitStack) -> Mapping[str, Any]:
    """What the body of a *member* that pytest has not set up asks for; `mix.collect` allows no more."""
    names = member._fixtureinfo.argnames  # noqa: SLF001 - pytest has no public name for it
    given: dict[str, Any] = {}
    for name in names:
        if name in GIVEN:
            given[name] = stack.enter_context(GIVEN[name](member))
        elif name == SETUP:
            given[name] = setup_of(member)
        elif own_parameter(member, name):
            given[name] = member.callspec.params[name]
        else:
            given[name] = leader._request.getfixturevalue(name)  # noqa: SLF001 - as above
    for name in {name for name, _ in fixtures_of(member)} - given.keys():  # autouse, or of usefixtures
        leader._request.getfixturevalue(name)  # noqa: SLF001 - as above
    return given
