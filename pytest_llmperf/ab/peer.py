"""The other end of `revision`: a pytest plugin that runs scenarios one iteration at a time, on demand.

Loaded with ``-p pytest_llmperf.ab.peer`` into the process that ``--llm-ab git:REV`` starts.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_llmperf.ab.channel import Channel
from pytest_llmperf.ab.lead import LEAD
from pytest_llmperf.ab.revision import ADDRESS, TOKEN
from pytest_llmperf.child_process.last_words import last_words
from pytest_llmperf.core import codec, loopback
from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.markers import is_scenario


class SocketLead:
    """Orders from the session that leads."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pending: str | None = None  #: the next scenario, read while waiting for orders
        self._waiting = False  #: whether the leading session waits for an answer

    def send(self, message: dict[str, Any]) -> None:
        """Answer."""
        self._waiting = False
        self._channel.send(message)

    def scenarios(self) -> Iterator[str]:
        """The scenarios to run, until the leading session ends."""
        while True:
            if self._pending is None:
                message = self._channel.receive()
                if message is None:
                    return
                self._waiting = "measured" in message
                if self._waiting:
                    self.ended("its test ended before")
                    continue
                self._pending = message["scenario"]
            scenario, self._pending = self._pending, None
            yield scenario

    def orders(self) -> Iterator[bool]:
        """Whether the next iteration is measured, until another scenario is wanted."""
        while (message := self._channel.receive()) is not None:
            if "scenario" in message:
                self._pending = message["scenario"]
                return
            self._waiting = True
            yield message["measured"]

    def report(self, iteration: Iteration) -> None:
        """Hand one iteration over."""
        self.send({"iteration": json.loads(codec.dumps(iteration))})

    def ended(self, why: str) -> None:
        """Say that the scenario ended without an answer, if one is waited for."""
        if self._waiting:
            self.send({"ended": why})


class Peer:
    """The hooks of the process that is led."""

    def __init__(self, lead: SocketLead) -> None:
        self._lead = lead
        self._errors: list[str] = []
        self._failure = ""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be imported is said to the leading session."""
        if report.failed:
            self._errors.append(last_words(report.longreprtext))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What ended a scenario before its time."""
        if not report.passed:
            self._failure = last_words(report.longreprtext)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run what the leading session wants, when it wants it."""
        items = {item.nodeid: item for item in session.items if is_scenario(item)}
        session.config.stash[LEAD] = self._lead
        self._lead.send({"scenarios": list(items), "errors": self._errors})
        for node_id in self._lead.scenarios():
            self._failure = ""
            item = items[node_id]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            self._lead.ended(self._failure or "its test ended before")
        return True


def pytest_configure(config: pytest.Config) -> None:
    """Connect to the leading session."""
    channel = Channel(socket.create_connection((loopback.ADDRESS, int(os.environ[ADDRESS]))))
    channel.prove(os.environ[TOKEN])
    config.pluginmanager.register(Peer(SocketLead(channel)), "llmperf-peer")
