"""The fixtures of tests in a mix: which of them tests that run together can share.

Only one test can be set up by pytest at a time, and the members of a mix run together. So they take what
the plugin gives, and fixtures that live longer than a test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

# It has no public name, and has been where it is for years.
from _pytest.python import get_direct_param_fixture_func

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.fixtures import GIVEN
from pytest_llmperf.markers import place
from pytest_llmperf.sharing import SETUP

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


def check_fixtures(item: pytest.Function, others: Sequence[pytest.Function], *, where: str, mix: str) -> None:
    """Raise LlmPerfUsageError where *item* cannot share its fixtures, or has none of theirs, in *mix*."""
    for name, fixture in fixtures_of(item):
        _check_alone(item, name, fixture, where)
        for other in others:
            _check_shared(item, other, name, fixture, where)
    for other in others:
        for name, fixture in fixtures_of(other):
            _check_shared(other, item, name, fixture, f"{place(other)}  @llm_load  mix {mix!r}:")


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
