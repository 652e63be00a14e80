"""A planner for game characters: it asks a model what to do next, and copes when none answers."""

from __future__ import annotations

from planner.breaker import Breaker, Breakers, CircuitOpenError, State
from planner.cache import PromptCache, key_of, normalised
from planner.client import Planner, build
from planner.retry import back_off_s, is_transient, retrying
from planner.server import Server
from planner.telemetry import Telemetry

__all__ = [
    "Breaker",
    "Breakers",
    "CircuitOpenError",
    "Planner",
    "PromptCache",
    "Server",
    "State",
    "Telemetry",
    "back_off_s",
    "build",
    "is_transient",
    "key_of",
    "normalised",
    "retrying",
]
