"""What one mock server remembers between requests."""

# ruff: noqa: S311 - replies and delays, not secrets

from __future__ import annotations

from random import Random
from time import perf_counter_ns

from pytest_llmperf.mock.config import DEFAULT_MODEL, Latency, MockConfig
from pytest_llmperf.mock.distribution import Distribution
from pytest_llmperf.mock.engine import Capacity, Engine
from pytest_llmperf.mock.faults import Playbook
from pytest_llmperf.mock.journal import Journal
from pytest_llmperf.mock.metrics import Metrics
from pytest_llmperf.mock.plan import Gaps
from pytest_llmperf.mock.replay import Replay
from pytest_llmperf.mock.reuse import Reuse
from pytest_llmperf.mock.rules import Rulebook


class State:
    """Everything that ``reset()`` sets back."""

    __slots__ = (
        "_fixed_ns",
        "_itl_rng",
        "_latency",
        "_ttft_rng",
        "cold",
        "config",
        "engine",
        "id_rng",
        "journal",
        "metrics",
        "models",
        "number",
        "playbook",
        "replay",
        "reuse",
        "rulebook",
        "running",
        "started_ns",
    )

    def __init__(self, config: MockConfig, replay: Replay | None = None) -> None:
        self.config = config
        self.latency = config.latency
        self.replay = replay  #: recorded answers, in place of made-up ones
        self.models = config.models or (replay.models if replay is not None else ()) or (DEFAULT_MODEL,)
        self.rulebook = Rulebook(list(config.replies))
        self.playbook = Playbook(list(config.faults), Random(f"faults {config.seed}"))
        self.engine = Engine(config.capacity or Capacity())
        self.journal = Journal(config.log_size)
        self.metrics = Metrics(config.max_model_len)
        self._ttft_rng = Random(f"ttft {config.seed}")
        self._itl_rng = Random(f"itl {config.seed}")
        self.id_rng = Random(f"id {config.seed}")
        self.reuse = Reuse()
        self.cold = True  #: the next request to the model waits for it to be loaded
        self.number = 0  #: requests to the model so far
        self.running = 0  #: answers on their way
        self.started_ns = perf_counter_ns()

    @property
    def latency(self) -> Latency:
        """How long answers take."""
        return self._latency

    @latency.setter
    def latency(self, latency: Latency) -> None:
        self._latency = latency
        ttft_s, itl_s = latency.ttft.constant_s, latency.itl.constant_s
        self._fixed_ns: tuple[int, int] | None = None  # for every request, when it is that simple
        if ttft_s is not None and itl_s is not None and not latency.steps and latency.drift is None:
            self._fixed_ns = round(ttft_s * 1e9), round(itl_s * 1e9)

    def age_s(self, now_ns: int) -> float:
        """Seconds since the start or the last reset."""
        return (now_ns - self.started_ns) / 1e9

    def draw_delays(self, steps: int, arrived_ns: int) -> tuple[int, Gaps]:
        """Nanoseconds to the first token and between the others, for the next request in order."""
        if self._fixed_ns is not None:
            return self._fixed_ns
        latency = self._latency
        factor = 1.0
        if latency.steps or latency.drift is not None:
            factor = max(0.0, latency.factor(self.number, self.age_s(arrived_ns)))
        ttft_ns = _draw_ns(latency.ttft, self._ttft_rng, factor)
        itl_s = latency.itl.constant_s
        if itl_s is not None:
            return ttft_ns, round(itl_s * factor * 1e9)
        return ttft_ns, [_draw_ns(latency.itl, self._itl_rng, factor) for _ in range(steps - 1)]


def _draw_ns(distribution: Distribution, rng: Random, factor: float) -> int:
    value_s = distribution.constant_s
    return round((distribution.draw(rng) if value_s is None else value_s) * factor * 1e9)
