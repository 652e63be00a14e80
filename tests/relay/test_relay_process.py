"""The handle of a relay whose process is gone."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from pytest_llmperf.child_process.parent import ChildGoneError
from pytest_llmperf.relay import process
from pytest_llmperf.relay.process import RelayProcess
from pytest_llmperf.relay.upstream import Upstream

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="there are no signals of this kind")


@pytest.fixture
def relay(monkeypatch):
    monkeypatch.setattr(process, "measure_cost", lambda *_: None)
    upstream = Upstream(url="http://127.0.0.1:1/v1", authorization={}, connect_s=1)
    running = RelayProcess({"it": upstream}, first="it", placeholder="key")
    yield running
    running.stop()


def test_a_relay_that_is_gone_is_said_to_be_with_its_last_words(relay):
    os.kill(relay.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(ChildGoneError, match=r"the relay of llm_client is gone: signal 9 \(Killed\)"):
            relay.settle(None)


def test_who_waits_for_the_answer_of_a_relay_learns_of_its_end(relay):
    os.kill(relay.pid, signal.SIGSTOP)
    threading.Timer(0.05, os.kill, (relay.pid, signal.SIGKILL)).start()
    with pytest.raises(ChildGoneError, match="the relay of llm_client is gone"):
        relay.settle(None)


def test_a_relay_that_hangs_is_not_waited_for_for_ever(relay, monkeypatch):
    monkeypatch.setattr(process, "_ANSWER_S", 0.05)
    os.kill(relay.pid, signal.SIGSTOP)
    with pytest.raises(ChildGoneError, match="the relay of llm_client has not answered for"):
        relay.settle(None)
    os.kill(relay.pid, signal.SIGCONT)
