"""How long a session will take, said before it starts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pytest

from pytest_llmperf.ab.arms import label_of
from pytest_llmperf.core.cache import CacheMode
from pytest_llmperf.core.duration import show_duration
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.items import scenario_of, slo_of
from pytest_llmperf.mixes.mix import mix_of
from pytest_llmperf.options import Options
from pytest_llmperf.rig.rig import Rig

#: Assumed for an iteration that was never measured, unless a promise says less.
UNKNOWN_S = 0.5


def sentence(items: Sequence[pytest.Item], rig: Rig) -> str:
    """``llm performance: 20 scenarios on vllm, about 4 min, at most 18 min``."""
    about_s = most_s = 0.0
    mixed = set()
    for item in items:
        try:
            slo = slo_of(item)
        except LlmPerfUsageError:
            continue  # a mark from a pytest.param or a hook that cannot be read: the test itself will say so
        if isinstance(item, pytest.Function) and (mix := mix_of(item)) is not None:
            if mix.profile is not None and id(mix) not in mixed:  # all members together
                mixed.add(id(mix))
                load_s = mix.profile.length_s(_iteration_s(slo, rig, scenario_of(item)))
                about_s, most_s = about_s + load_s, most_s + load_s
            continue
        if slo.load is not None:
            each_s = _iteration_s(slo, rig, scenario_of(item))
            load_s = slo.load.length_s(each_s) + each_s * slo.warmup
            about_s, most_s = about_s + load_s, most_s + load_s
            continue
        arms = 1 if rig.options.ab is None and slo.cache is not CacheMode.BOTH else 2
        each_s = arms * _iteration_s(slo, rig, scenario_of(item))
        about_s += each_s * (slo.warmup + slo.iterations)
        most_s += each_s * (slo.warmup + (slo.iterations if slo.scenario else slo.max_iterations))
    most_s = min(most_s, max(about_s, rig.options.max_time_s))
    count = f"{len(items)} scenario{'s' if len(items) != 1 else ''}"
    against = "" if rig.options.ab is None else f" against {label_of(rig.options.ab)}"
    text = f"llm performance: {count} on {_where(rig.options)}{against}, about {show_duration(about_s)}"
    return text if most_s <= 1.1 * about_s else f"{text}, at most {show_duration(most_s)}"


def _where(options: Options) -> str:
    """``vllm``, or the set-ups that are compared."""
    return options.backend if not options.setups else ", ".join(setup.label for setup in options.setups)


def _iteration_s(slo: Slo, rig: Rig, scenario: str) -> float:
    """Seconds of one iteration: as in the newest stored run, else the smallest promise about them."""
    stored = rig.baselines.store.history(scenario).runs
    if stored and (tasks := stored[-1].series.get("task_s")):
        return statistics.median(tasks)
    promised = [limit.bound for limit in slo.limits if limit.metric in {"latency", "task"}]
    return min([*promised, UNKNOWN_S])
