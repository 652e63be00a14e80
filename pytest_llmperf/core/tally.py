"""Iterations reduced to numbers soon after they end, so that a hundred thousand need little memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytest_llmperf.core.column import Column
from pytest_llmperf.core.exchange import Exchange
from pytest_llmperf.core.iteration import Iteration, NamedCheck, TimedStep
from pytest_llmperf.core.measure import measure
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.pool import pool
from pytest_llmperf.core.price import Price, busy_s
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.steps import as_requests
from pytest_llmperf.core.timeline import Timeline, timeline

#: Iterations that are kept whole before they are reduced, and reduced parts that are kept before they are put
#: together: a fraction of a millisecond of work at a time, in which no answer is seen to arrive.
_BATCH = _PARTS = 16


class Tally:
    """What `measure` says of any number of iterations, in a few numbers for each."""

    def __init__(self, *, about: Measurement, slo: Slo, prices: Mapping[str, Price]) -> None:
        self._about, self._slo, self._prices = about, slo, prices
        self._waiting: list[Iteration] = []
        self._parts: list[Measurement] = []  #: everything but the series
        self._series: dict[str, array[float]] = {}
        self._began_s = math.inf
        self._ended_s = -math.inf
        self._spans = array("d"), array("d")
        self._requests = {name: array("d") for name in ("due", "sent", "done", "latency", "tokens")}
        self.iterations = 0

    def add(self, iteration: Iteration) -> None:
        """Take in one iteration; samples stay in the order of these calls."""
        self.iterations += 1
        self._waiting.append(iteration)
        if len(self._waiting) >= _BATCH:
            self._reduce()

    def add_unpaired(self, iteration: Iteration) -> None:
        """Take in one iteration whose other arm is missing: it counts, and is no sample."""
        self.iterations += 1
        self._reduce()
        self._fold([iteration], in_series=False)

    def add_loose(
        self, exchanges: Sequence[Exchange], checks: Sequence[NamedCheck], steps: Sequence[TimedStep] = ()
    ) -> None:
        """Take in what no iteration can be told for."""
        if exchanges or checks or steps:
            first_s = min((exchange.due_s for exchange in exchanges), default=self._began_s)
            last_s = max((exchange.done_s for exchange in exchanges), default=self._ended_s)
            holder = Iteration(
                started_s=first_s,
                done_s=last_s,
                exchanges=tuple(exchanges),
                checks=tuple(checks),
                steps=tuple(steps),
                passed=None,
            )
            self._reduce()
            self._fold([holder], whole=False)

    def measurement(self) -> Measurement:
        """What was measured so far."""
        self._reduce()
        if not self._parts:
            return measure([], about=self._about, slo=self._slo, prices=self._prices)
        self._parts = [pool(self._parts)]
        (counts,) = self._parts
        due, done, latency = (self._requests[name] for name in ("due", "done", "latency"))
        in_flight_s = busy_s(
            due, done, latency
        )  # before the copies below: it takes as much memory, for a moment
        return replace(
            counts,
            facts={**self._about.facts, **counts.facts},
            iterations=self.iterations,
            series={name: Column(values) for name, values in self._series.items()},
            busy_s=in_flight_s,
            wall_s=self._ended_s - self._began_s if self._spans[0] else 0.0,
        )

    def timeline(self, began_s: float) -> Timeline:
        """The run second by second, from *began_s*."""
        self._reduce()
        requests = self._requests
        return timeline(
            began_s=began_s,
            due_s=requests["due"],
            sent_s=requests["sent"],
            done_s=requests["done"],
            latency_s=requests["latency"],
            tokens=requests["tokens"],
            spans=self._spans,
        )

    def columns(self, began_s: float) -> tuple[dict[str, Column], tuple[Column, Column]]:
        """Requests and spans of iterations as `core.shards.Part` takes them; times from *began_s*."""
        self._reduce()
        requests = {
            name: Column(value - began_s for value in values)
            if name in {"due", "sent", "done"}
            else Column(values)
            for name, values in self._requests.items()
        }
        starts, ends = (Column(value - began_s for value in values) for values in self._spans)
        return requests, (starts, ends)

    def _reduce(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._fold(waiting)

    def _fold(self, iterations: Sequence[Iteration], *, in_series: bool = True, whole: bool = True) -> None:
        """Take *iterations* in; those that are not *whole* only hold requests that belong to none."""
        part = measure(iterations, about=self._about, slo=self._slo, prices=self._prices)
        for name, values in part.series.items() if in_series else ():
            self._series.setdefault(name, array("d")).extend(values)
        found = {name: word for name, word in part.facts.items() if self._about.facts.get(name) != word}
        self._parts.append(replace(part, series={}, facts=found))
        if len(self._parts) >= _PARTS:
            self._parts = [pool(self._parts)]
        for iteration in iterations:
            if whole:
                self._began_s = min(self._began_s, iteration.started_s)
                self._ended_s = max(self._ended_s, iteration.done_s)
                self._spans[0].append(iteration.started_s)
                self._spans[1].append(iteration.done_s)
        asked = [exchange for iteration in iterations for exchange in iteration.exchanges]
        for exchange in as_requests(iterations) if part.timed else asked:
            self._note(exchange)

    def _note(self, exchange: Exchange) -> None:
        requests = self._requests
        output = exchange.tokens.output if exchange.tokens else None
        requests["due"].append(exchange.due_s)
        requests["sent"].append(exchange.sent_s)
        requests["done"].append(exchange.done_s)
        requests["latency"].append(exchange.latency_s if exchange.failure is None else math.nan)
        requests["tokens"].append(math.nan if output is None else output)
