"""Parts of a load and who leads them: what is said over a real socket, and the end of real processes."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading

import pytest

from pytest_llmperf.shards import meeting
from pytest_llmperf.shards.meeting import GO, OVER, THERE, Host, Keeper, LoopbackMeeting


@pytest.fixture
def heard():
    return queue.SimpleQueue()


@pytest.fixture
def host(heard):
    host = Host(lambda part, words: heard.put((part, words)))
    yield host
    host.say(OVER)
    host.close()


@pytest.fixture
def gone(monkeypatch):
    """Set when a part has given up on who leads."""
    event = threading.Event()
    monkeypatch.setattr(meeting, "_give_up", event.set)
    return event


def test_a_part_begins_when_it_is_told_to_and_is_heard(host, heard):
    joined = queue.SimpleQueue()
    threading.Thread(target=lambda: joined.put(host.meeting.join(3, print)), daemon=True).start()
    assert heard.get(timeout=10) == (3, {"ready": True})
    assert joined.empty()
    host.say(GO)
    joined.get(timeout=10).say({"done": 7})
    assert heard.get(timeout=10) == (3, {"done": 7})


def test_a_part_is_told_why_to_stop(host):
    host.say(GO)
    told = queue.SimpleQueue()
    host.meeting.join(0, told.put)
    host.say({"stop": "enough"})
    assert told.get(timeout=10) == "enough"


def test_what_is_said_to_another_part_is_not_heard(host):
    host.say(GO)
    told = queue.SimpleQueue()
    host.meeting.join(0, told.put)
    host.say({"stop": "not you"}, part=1)
    host.say({"stop": "you"}, part=0)
    assert told.get(timeout=10) == "you"


def test_a_part_that_comes_late_is_told_all_that_was_said(host):
    host.say(GO)
    host.say({"stop": "over already"})
    told = queue.SimpleQueue()
    host.meeting.join(0, told.put)
    assert told.get(timeout=10) == "over already"


def test_who_waits_for_a_session_that_is_gone_does_not_begin(host, heard):
    failed = queue.SimpleQueue()

    def join():
        try:
            host.meeting.join(0, print)
        except ConnectionError as error:
            failed.put(str(error))

    threading.Thread(target=join, daemon=True).start()
    heard.get(timeout=10)
    host.close()
    assert failed.get(timeout=10) == "the leading session ended before all were ready"


def test_a_part_whose_session_is_gone_gives_up(host, gone):
    host.say(GO)
    host.meeting.join(0, print)
    host.close()
    assert gone.wait(timeout=10)


def test_a_part_that_was_told_that_all_is_over_does_not_give_up(host, gone):
    host.say(GO)
    host.meeting.join(0, print)
    host.say(OVER)
    host.close()
    assert not gone.wait(timeout=0.2)


def test_a_part_whose_session_is_silent_gives_up_too(host, gone, monkeypatch):
    monkeypatch.setattr(meeting, "SILENT_S", 0.1)  # a process that is stopped keeps its connections
    host.say(GO)
    host.meeting.join(0, print)
    assert gone.wait(timeout=10)


def test_a_session_that_has_nothing_to_say_gives_signs_of_life(monkeypatch):
    monkeypatch.setattr(meeting, "_BEAT_S", 0.01)
    with contextlib.closing(Host(print)) as host:
        hello = json.dumps({"token": host.meeting.token, "part": 0}).encode() + b"\n"
        with socket.create_connection(("127.0.0.1", host.meeting.port), timeout=10) as part:
            part.sendall(hello)
            heard = meeting._lines(part)
            assert [next(heard), next(heard)] == [THERE, THERE]


def test_who_waits_for_the_word_to_go_hears_signs_of_life_before_it(host):
    host.say(THERE)
    host.say(GO)
    assert host.meeting.join(0, print)


def test_a_stranger_is_not_heard(host, heard):
    host.say(GO)
    stranger = LoopbackMeeting(port=host.meeting.port, token="guessed")
    with pytest.raises(ConnectionError):
        stranger.join(0, print)
    assert heard.empty()


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n", b"[1]\n", '{"token": "é"}\n'.encode(), b"\xff\n"])
def test_noise_at_the_port_does_not_keep_a_part_away(host, said):
    with socket.create_connection(("127.0.0.1", host.meeting.port), timeout=10) as noise:
        noise.sendall(said)
        assert noise.recv(1) == b""
        host.say(GO)
        assert host.meeting.join(0, print)


SLEEP = "import time; time.sleep(60)"
#: What runs in the background of a shell is born deaf to it.
HEARS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
DEAF = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); {SLEEP}"


@pytest.fixture
def started():
    """Start a Python program in a process group of its own, up to its first line of output."""
    processes = []

    def start(program):
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        processes.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_an_interrupted_part_gets_ctrl_c(started):
    process, keeper = started(f"{HEARS}; print('up', flush=True); {SLEEP}"), Keeper()
    keeper.keep(process)
    keeper.interrupt(60.0)
    assert process.wait(timeout=10) == -signal.SIGINT
    assert keeper.why == ""


def test_a_part_that_does_not_listen_to_ctrl_c_is_killed(started):
    process, keeper = started(DEAF), Keeper()
    keeper.keep(process)
    keeper.interrupt(0.1)
    assert process.wait(timeout=10) == -signal.SIGKILL
    assert keeper.why == "it did not end within 0 s of Ctrl-C"


def test_a_stopped_part_is_killed_with_what_it_started(started):
    child = "import subprocess; subprocess.Popen(['sleep', '60'])"
    process, keeper = started(f"{child}; print('up', flush=True); {SLEEP}"), Keeper()
    process.send_signal(signal.SIGSTOP)
    keeper.keep(process)
    keeper.kill("it hangs")
    assert process.wait(timeout=10) == -signal.SIGKILL
    assert process.stdout.read() == b""  # nobody holds the other end of its output


def test_a_part_that_starts_after_its_end_was_asked_for_ends(started):
    keeper = Keeper()
    keeper.kill("it is not wanted")
    process = started(DEAF)
    keeper.keep(process)
    assert process.wait(timeout=10) == -signal.SIGKILL


def test_a_part_that_has_ended_is_not_told_to_have_been_killed(started):
    process, keeper = started(""), Keeper()
    process.wait(timeout=10)
    keeper.keep(process)
    keeper.kill("too late")
    assert keeper.why == ""


def test_a_part_without_a_session_interrupts_itself(monkeypatch):
    signals = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append((pid, number)))
    monkeypatch.setattr(os, "getpgrp", lambda: -1)
    meeting._give_up()
    assert signals == [(os.getpid(), signal.SIGINT)]
