"""Which tests share one profile, and whether they can."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

# They have no public name, and have been where they are for years.
from _pytest.skipping import evaluate_skip_marks, evaluate_xfail_marks

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.load import Load
from pytest_llmperf.items import slo_of
from pytest_llmperf.markers import is_scenario, node_id, place
from pytest_llmperf.mixes.shared_fixtures import check_fixtures
from pytest_llmperf.sharing import setup_of


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


def is_member(item: pytest.Function) -> bool:
    """Whether *item* belongs to a mix; not where its marks say nothing, as the test itself will."""
    try:
        return mix_of(item) is not None
    except LlmPerfUsageError:
        return False


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
    check_fixtures(item, mix.items, where=where, mix=mix.name)
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
