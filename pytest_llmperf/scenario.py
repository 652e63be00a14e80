"""One scenario: its body is warmed up, repeated and judged, and repeated more while undecided."""

from __future__ import annotations

import functools
import inspect
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from pytest_llmperf.ab.arms import Arm, Base, label_of
from pytest_llmperf.ab.lead import LEAD
from pytest_llmperf.core import codec
from pytest_llmperf.core.budget import Budget
from pytest_llmperf.core.cache import CacheMode
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.load import Load
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.display import progress_of
from pytest_llmperf.items import cases_of, closers_of, log_of, scenario_of, slo_of, switch_of
from pytest_llmperf.markers import asks_backend, check_cases, node_id
from pytest_llmperf.measuring import Measuring
from pytest_llmperf.probes.sampler import Sampler
from pytest_llmperf.repetition import Repetition
from pytest_llmperf.reports.junit import properties
from pytest_llmperf.rig.rig import Rig
from pytest_llmperf.rounds import fixture_of
from pytest_llmperf.server_watch import ServerWatch
from pytest_llmperf.shards.worker import SHARD
from pytest_llmperf.sharing import rig_for
from pytest_llmperf.transport import INTERRUPTED, RESULT

#: Marks with which an async plugin claims a coroutine function that it runs itself.
_CLAIMED = ("anyio", "trio")


@contextmanager
def repeated(item: pytest.Function) -> Iterator[None]:
    """Replace the item's body by its repetition, and leave the result in the item's stash."""
    try:
        measuring = measuring_of(item)
    except LlmPerfUsageError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    body = item.obj
    if measuring.slo.load is None:
        repetition = Repetition(measuring=measuring, lead=item.config.stash.get(LEAD, None))
        item.obj = repetition.body(body, claimed=is_claimed(item))
    else:
        item.obj = _loaded(item, measuring, measuring.slo.load)
    interrupted = False
    try:
        with measuring.rig.turn():
            yield
    except (pytest.skip.Exception, unittest.SkipTest, pytest.xfail.Exception) as error:
        measuring.end_early(error)
        raise
    except (KeyboardInterrupt, pytest.exit.Exception) as error:
        measuring.end_early(error)
        interrupted = True
        raise
    finally:
        item.obj = body
        measuring.put_away()
        result = measuring.result
        item.stash[RESULT] = codec.dumps(result)
        if measuring.slo.load is not None:
            from pytest_llmperf.conducting.together import let_go  # noqa: PLC0415 - only under a load profile

            let_go(item)
        if interrupted:  # pytest makes no report of it, or one with this same text
            item.config.stash.setdefault(INTERRUPTED, []).append(item.stash[RESULT])
        item.user_properties += properties(result)  # for --junitxml


@contextmanager
def many_at_once(item: pytest.Item) -> Iterator[None]:
    """Replace a coroutine function under a load profile by one that runs it many times in one event loop.

    It is what an async plugin then takes for the test's body, so that fixtures and iterations share a loop.
    """
    assert isinstance(item, pytest.Function)
    original = item.obj
    try:
        loaded = slo_of(item).load is not None
    except LlmPerfUsageError:
        loaded = False  # `repeated` says so
    if not (loaded and inspect.iscoroutinefunction(original)):
        yield
        return

    @functools.wraps(original)
    async def together(**arguments: Any) -> None:
        __tracebackhide__ = True
        from pytest_llmperf.conducting.together import CONDUCTOR  # noqa: PLC0415 - only under a load profile

        await item.stash[CONDUCTOR].in_loop(original, arguments)

    item.obj = together
    try:
        yield
    finally:
        item.obj = original


def is_claimed(item: pytest.Function) -> bool:
    """Whether an async plugin runs the item's coroutine function itself."""
    return any(item.get_closest_marker(name) for name in _CLAIMED)


def _loaded(item: pytest.Function, measuring: Measuring, load: Load) -> Callable[..., Any]:
    """What runs the item's body under the load profile."""
    from pytest_llmperf.conducting.taking_part import TakingPart  # noqa: PLC0415 - only under a load profile
    from pytest_llmperf.conducting.together import Together, conducted  # noqa: PLC0415 - as above

    alone = Together(
        [TakingPart(item=item, measuring=measuring)],
        leader=item,
        rhythm=measuring.rig.rhythm(load, directory=item.path.parent),
        name=measuring.about.scenario,
    )
    return conducted(item, alone, claimed=is_claimed(item))


def measuring_of(item: pytest.Function, *, profile: str | None = None) -> Measuring:
    """The measuring of *item*, about to begin; *profile* is its mix's. Raises LlmPerfUsageError."""
    rig, slo, benchmark = rig_for(item), slo_of(item), fixture_of(item.funcargs)
    if benchmark is not None:
        slo = replace(slo, warmup=0, notes=())  # it takes as many rounds as it needs
    check_cases(item, item.function, slo.cases)  # of a mark that was added after the collection
    path, line, _ = item.location
    asks, setup = asks_backend(item), rig.options.setup
    facts = rig.servers.facts | _cache_fact(item, slo) if asks else {}
    if slo.load is not None:
        if benchmark is not None:
            raise LlmPerfUsageError(
                "pytest-benchmark's fixture repeats by itself: it cannot go with @llm_load."
            )
        facts["load profile"] = profile or rig.rhythm(slo.load, directory=item.path.parent).fact
    about = Measurement(
        scenario=scenario_of(item),
        name=scenario_of(item) if slo.scenario else item.name,
        path=path,
        line=(line or 0) + 1,
        backend=rig.options.backend if asks else "",
        model=rig.model(slo.role) if asks else "",
        setup=setup,
        facts=facts | ({"items": node_id(item)} if slo.scenario else {}),
        warmup=slo.warmup,
        warnings=_out_of_reach(item, slo),
    )
    base, log, sampler = _base(item, rig), log_of(item), _sampler(item, rig, asks_backend=asks)
    looks = asks and SHARD not in item.config.stash  # of several processes the one that leads looks for all
    return Measuring(
        rig=rig,
        slo=slo,
        log=log,
        switch=switch_of(item),
        about=about,
        history=rig.baselines.history(about.scenario),
        base=base,
        watch=ServerWatch(scrape=rig.servers.scrape, arms=_arms(rig, base) if looks else ()),
        budgets=_budgets(rig, slo, about.model if asks else None),
        cases=cases_of(item),
        benchmark=benchmark,
        stop_at_once=bool(item.config.getoption("usepdb", default=False)),
        progress=progress_of(item.config, about.name),
        sampler=sampler,
        closers=closers_of(item),
    )


def _sampler(item: pytest.Item, rig: Rig, *, asks_backend: bool) -> Sampler | None:
    if rig.options.quick or LEAD in item.config.stash:
        return None
    return rig.servers.sampler(asks_backend=asks_backend, alone=SHARD in item.config.stash)


def _budgets(rig: Rig, slo: Slo, model: str | None) -> list[Budget]:
    """What limits the cost of a scenario that asks *model*. Raises LlmPerfUsageError without a price."""
    own = [] if slo.max_cost_usd is None else [Budget(limit_usd=slo.max_cost_usd)]
    budgets = [*own, *([] if rig.budget is None else [rig.budget])]
    if budgets and model is not None and model not in rig.slo_file.prices:
        raise LlmPerfUsageError(
            f"max_cost_usd: {model} has no price. Give it one under prices: in slo.yaml, "
            "input_per_million_usd and output_per_million_usd, or gpu_hour_usd."
        )
    return budgets


def _cache_fact(item: pytest.Function, slo: Slo) -> dict[str, str]:
    """How warm the judged prompts are: those of "both" are as warm as those of "warm"."""
    mode = CacheMode.WARM if slo.cache is CacheMode.BOTH else slo.cache
    ours = not {"llm", "async_llm"}.isdisjoint(item.fixturenames)
    return {"cache mode": str(mode if ours or mode is CacheMode.WARM else CacheMode.AS_IS)}


def _out_of_reach(item: pytest.Function, slo: Slo) -> tuple[str, ...]:
    """A warning where prompts should be cold that nobody here writes."""
    if slo.cache not in {CacheMode.COLD, CacheMode.BOTH} or "llm_client" not in item.fixturenames:
        return ()
    return (f"cache={slo.cache}: prompts that go through llm_client are the application's own, and stay so",)


def _arms(rig: Rig, base: Base | None) -> list[str]:
    """The arms whose server can be looked at: a revision's own mock is out of reach."""
    if base is not None and not base.compared:
        return []  # cold and warm prompts go to the same server, and its sums know no difference
    return [arm for arm in rig.servers.arms if arm is Arm.CANDIDATE or base is not None]


def _base(item: pytest.Function, rig: Rig) -> Base | None:
    """The other arm of *item* under ``--llm-ab``, or its cold prompts under ``--llm-cache=both``."""
    if slo_of(item).cache is CacheMode.BOTH and not rig.options.quick:
        if rig.options.ab is not None:
            raise LlmPerfUsageError("--llm-ab and --llm-cache=both: one or the other")
        return Base(label="cold prompts", compared=False)
    if rig.options.ab is None or rig.options.quick:
        return None
    if rig.companions.revision is not None and slo_of(item).load is not None:
        apart = "a load profile cannot run in lockstep with another revision: compare servers with --llm-ab"
        return Base(label=label_of(rig.options.ab), missing=apart)
    if rig.companions.revision is not None:
        return rig.companions.revision.base(node_id(item))
    if not asks_backend(item):
        same = "the test asks no backend, so both arms would be the same"
        return Base(label=label_of(rig.options.ab), missing=same)
    return Base(label=rig.servers.arms[Arm.BASE].name)
