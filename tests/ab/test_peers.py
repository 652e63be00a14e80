"""Who may be the other arm of ``--llm-ab git:REV``: only the process that this session has started."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

import pytest

from pytest_llmperf.ab import revision
from pytest_llmperf.ab.channel import Channel
from pytest_llmperf.ab.revision import Checkout, Revision

TOKEN = "0123456789abcdef"


class Running:
    """A process that has not ended."""

    def poll(self):
        return None

    def wait(self, timeout):
        raise subprocess.TimeoutExpired("pytest", timeout)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(revision, "_PROOF_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def connect(server):
    """Connect to the session as anyone can."""
    channels = []

    def connect():
        channels.append(Channel(socket.create_connection(server.getsockname(), timeout=10)))
        return channels[-1]

    yield connect
    for channel in channels:
        channel.close()


@pytest.fixture
def session(tmp_path, server):
    """A session that waits for its other arm, and knows it when this is called."""
    checkout = Checkout(label="git:main", commit="3f2c1a0", top=tmp_path, directory=tmp_path, reaper=None)
    made = Revision(checkout, Running(), Path(tmp_path / "log"))
    (tmp_path / "log").write_text("")
    meeting = threading.Thread(target=made._meet, args=(server, TOKEN), daemon=True)

    def met():
        if not meeting.ident:
            meeting.start()
        meeting.join(10)
        assert not meeting.is_alive()
        return made

    yield met
    if made._channel is not None:
        made._channel.close()


def test_the_process_that_knows_the_token_is_the_other_arm(session, connect):
    own = connect()
    own.prove(TOKEN)
    own.send({"scenarios": ["test_own"], "errors": []})
    assert session().base("test_own").remote is not None


def claims_to_be_it(stranger):
    stranger.send({"token": "guessed", "scenarios": ["test_forged"], "errors": []})


def says_nothing(stranger):
    pass


def leaves(stranger):
    stranger.close()


@pytest.mark.parametrize("act", [claims_to_be_it, says_nothing, leaves])
def test_a_stranger_who_is_faster_is_turned_away(session, connect, act):
    act(connect())
    own = connect()
    own.prove(TOKEN)
    own.send({"scenarios": ["test_own"], "errors": []})
    assert session().base("test_own").remote is not None
    assert session().base("test_forged").remote is None


def test_a_process_that_does_not_end_collecting_is_not_waited_for_for_ever(session, connect, monkeypatch):
    monkeypatch.setattr(revision, "COLLECTING_S", 0.1)
    connect().prove(TOKEN)
    assert "did not collect its tests within" in session().base("test_own").missing
