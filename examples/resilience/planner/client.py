"""The planner: cache first, then the model, behind a breaker and with retries."""

from __future__ import annotations

import json
import time
from random import Random

from planner.breaker import Breakers, CircuitOpenError
from planner.cache import PromptCache, key_of
from planner.retry import is_transient, retrying
from planner.server import ACTIONS
from planner.telemetry import Telemetry


class Planner:
    """*ask*(prompt, model) gives the model's text."""

    def __init__(self, ask, *, cache, breakers, retry, telemetry):
        self._ask, self._retry = ask, retry
        self.cache, self.breakers, self.telemetry = cache, breakers, telemetry

    def plan(self, prompt, model):
        """What to do, such as {"action": "move", "to": "A"}.

        Raises the last error of the server, CircuitOpenError, or ValueError for an answer that is no plan.
        """
        self.telemetry.count("requests")
        key = key_of(prompt, model)
        plan = self.cache.get(key)
        if plan is None:
            # The breaker is inside: it sees every attempt, and an open circuit ends the retries at once.
            breaker = self.breakers.of(model)
            try:
                plan = checked(self._retry(breaker.call, self._ask, prompt, model))
            except CircuitOpenError:
                self.telemetry.count("rejected")
                raise
            except Exception:
                self.telemetry.count("failed")
                raise
            self.cache.put(key, plan)
        self.telemetry.count("answered")
        return plan


def checked(text):
    """*text* as a plan. Raises ValueError."""
    plan = json.loads(text)
    if not isinstance(plan, dict) or plan.get("action") not in ACTIONS:
        raise ValueError(f"no plan: {text[:80]!r}")
    return plan


def build(ask, *, capacity=100, attempts=5, seed=0, clock=time.monotonic, sleep=time.sleep, **breaker):
    """A planner with everything around it."""
    telemetry = Telemetry()
    retry = retrying(
        attempts=attempts,
        rng=Random(seed),
        sleep=sleep,
        on_retry=lambda _: telemetry.count("retries"),
    )
    breakers = Breakers(counts=is_transient, clock=clock, **breaker)
    return Planner(ask, cache=PromptCache(capacity), breakers=breakers, retry=retry, telemetry=telemetry)
