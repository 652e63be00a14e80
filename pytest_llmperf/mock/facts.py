"""What a server could tell about itself at this moment, before a dialect puts it into its words."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING

from pytest_llmperf.mock.metrics import Metrics

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The state of the model, the engine and the sums over all requests."""

    models: tuple[str, ...]
    max_model_len: int
    places: int  #: sequences that can run together
    running: int
    waiting: int
    kv_usage: float  #: 0 to 1
    cache_queries: int  #: prompt tokens looked up in the prefix cache
    cache_hits: int
    rejected: int  #: requests that found the waiting queue full
    preemptions: int
    metrics: Metrics

    @property
    def model(self) -> str:
        """The one that is served first."""
        return self.models[0]

    @property
    def model_label(self) -> str:
        """The same as the value of a label on a page for Prometheus."""
        return self.model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


_PLACES = 8  # of an engine without a limit; what llama.cpp's server was recorded with


def facts_of(server: Mock) -> Facts:
    """The facts of this moment."""
    state, config = server.state, server.config
    engine = state.engine
    return Facts(
        models=state.models,
        max_model_len=config.max_model_len,
        places=(config.capacity and config.capacity.running) or _PLACES,
        running=state.running if server.plain_engine else engine.running,
        waiting=engine.waiting,
        kv_usage=engine.share(_held(server)) if server.plain_engine else engine.kv_usage,
        cache_queries=engine.queries,
        cache_hits=engine.hits,
        rejected=engine.rejected,
        preemptions=engine.preemptions,
        metrics=state.metrics,
    )


def _held(server: Mock) -> int:
    """Tokens of all answers on their way, which nobody counts until somebody asks."""
    now_ns = perf_counter_ns()
    calls = (peer.call for peer in server.peers)
    return sum(call.delivery.held_at(now_ns) for call in calls if call is not None and call.delivery)
