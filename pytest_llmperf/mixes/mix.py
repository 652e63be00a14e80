"""Weighted mixes: which tests share one profile, and whether they can.

Only one test can be set up by pytest at a time, and the members of a mix run together. So they take what
the plugin gives, and fixtures that live longer than a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

# Neither has a public name; both have been where they are for years.
from _pytest.python import get_direct_param_fixture_func
from _pytest.skipping import evaluate_skip_marks, evaluate_xfail_marks

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.load import Load
from pytest_llmperf.fixtures import GIVEN
from pytest_llmperf.items import slo_of
from pytest_llmperf.markers import is_scenario, node_id, place
from pytest_llmperf.sharing import SETUP, setup_of

#: Fixtures of async plugins, that say how a coroutine is run: the member that pytest runs decides.
_RUNNERS = frozenset(
    {
        "anyio_backend",
        "anyio_backend_name",
        "anyio_backend_options",
        "_asyncio_loop_factory",
        "event_loop_policy",
    }
    | {f"_{scope}_scoped_runner" for scope in ("function", "class", "module", "package", "session")}
)

#: Where a fixture of that scope lives.
_HOMES: dict[str, type[pytest.Collector]] = {
    "class": pytest.Class,
    "module": pytest.Module,
    "package": pytest.Package,
}


@dataclass(kw_only=True)
class Mix:
    """A mix as it was collected, also what was deselected later."""

    name: str
    items: list[pytest.Function] = field(default_factory=list)
    profile: Load | None = None
    owner: pytest.Function | None = None  #: who gives the profile


_MIXES = pytest.StashKey[dict[tuple[str, str], Mix]]()


def mix_of(item: pytest.Function) -> Mix | None:
    """The mix that *item* belongs to. Raises LlmPerfUsageError where its marks say nothing."""
    load = slo_of(item).load
    if load is None or load.mix is None:
        return None
    mixes = item.config.stash.setdefault(_MIXES, {})
    return mixes.setdefault((setup_of(item), load.mix), Mix(name=load.mix))


def collect(item: pytest.Function) -> None:
    """Take *item* into its mix, if it has one. Raises LlmPerfUsageError where it cannot take part."""
    try:
        mix = mix_of(item)
    except LlmPerfUsageError:
        return  # a mark from a pytest.param that cannot be read: the test itself will say so
    if mix is None:
        return
    where = f"{place(item)}  @llm_load  mix {mix.name!r}:"
    load = load_of(item)
    if load.kind:
        if mix.profile is None:
            mix.profile, mix.owner = load, item
        elif differing := load.differences(mix.profile):
            assert mix.owner is not None
            told = ", ".join(
                f"{name} is {getattr(load, name)!r} here and {getattr(mix.profile, name)!r} there"
                for name in differing
            )
            raise LlmPerfUsageError(
                f"{where} another profile than at {place(mix.owner)}: {told}. "
                "Give the profile on one member, or the same on all."
            )
    for name, fixture in fixtures_of(item):
        _check_alone(item, name, fixture, where)
        for other in mix.items:
            _check_shared(item, other, name, fixture, where)
    for other in mix.items:
        for name, fixture in fixtures_of(other):
            _check_shared(other, item, name, fixture, f"{place(other)}  @llm_load  mix {mix.name!r}:")
    mix.items.append(item)


def load_of(item: pytest.Function) -> Load:
    """What a member's marks say."""
    load = slo_of(item).load
    assert load is not None
    return load


def taking_part(item: pytest.Function, mix: Mix) -> list[pytest.Function]:
    """The members that this session runs, *item* among them, in an order that nothing can change."""
    return sorted(
        (
            other
            for other in item.session.items
            if isinstance(other, pytest.Function)
            and (other is item or (is_scenario(other) and mix_of(other) is mix and not _is_skipped(other)))
        ),
        key=node_id,
    )


def _is_skipped(item: pytest.Item) -> bool:
    """Whether its marks keep pytest from running it."""
    xfail = evaluate_xfail_marks(item)
    return evaluate_skip_marks(item) is not None or (xfail is not None and not xfail.run)


def own_parameter(item: pytest.Function, name: str) -> bool:
    """Whether *name* is a value that ``parametrize`` gives to the test, and no fixture."""
    fixtures = item._fixtureinfo.name2fixturedefs.get(name, ())  # noqa: SLF001 - pytest has no public name
    return any(fixture.func is get_direct_param_fixture_func for fixture in fixtures)


Fixture = pytest.FixtureDef[object]


def fixtures_of(item: pytest.Function) -> Iterator[tuple[str, Fixture | None]]:
    """The user's fixtures that *item* needs; None for ``request``."""
    info = item._fixtureinfo  # noqa: SLF001 - pytest has no public name for it
    if "request" in info.argnames:
        yield "request", None
    for name in item.fixturenames:
        known = name in GIVEN or name in _RUNNERS or name == SETUP or own_parameter(item, name)
        if not known and (fixtures := info.name2fixturedefs.get(name)):
            yield name, fixtures[-1]


def _check_alone(item: pytest.Function, name: str, fixture: Fixture | None, where: str) -> None:
    if fixture is None or fixture.scope == "function":
        raise LlmPerfUsageError(
            f"{where} members run together, and {name!r} is set up for one test at a time. "
            "Give it scope='session' or 'module', or do without it."
        )
    callspec = getattr(item, "callspec", None)
    if fixture.params is not None or (callspec is not None and name in callspec.params):
        raise LlmPerfUsageError(
            f"{where} members run together, and {name!r} has one of its params at a time. "
            "Parametrise the test itself."
        )


def _check_shared(
    item: pytest.Function, other: pytest.Function, name: str, fixture: Fixture | None, where: str
) -> None:
    """That *other* could ask for *item*'s fixture, since whoever pytest runs first sets it up for both."""
    assert fixture is not None
    seen = item.session._fixturemanager.getfixturedefs(name, other)  # noqa: SLF001 - as above
    if not seen or seen[-1] is not fixture or own_parameter(other, name):
        raise LlmPerfUsageError(
            f"{where} {place(other)} is in it too, and does not see this {name!r}. "
            "Put the fixture into a conftest.py above both."
        )
    home = _HOMES.get(fixture.scope)
    if home is not None and item.getparent(home) is not other.getparent(home):
        raise LlmPerfUsageError(
            f"{where} {name!r} is set up for one {fixture.scope}, and {place(other)} is in another. "
            "Give it scope='session'."
        )
