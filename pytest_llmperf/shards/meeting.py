"""Where the parts of a load run meet who leads them: lines of JSON at a port of one machine.

A part says that it is ready, then what has ended since it said so last, then that it has measured. It is
told to go, to stop, or that all is over, and every now and then that someone is there at all. Its process is
in the hands of a `Keeper`, which can end it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_llmperf.core.loopback import ADDRESS

#: How long the parts may take to collect, to set fixtures up and to warm up.
MEETING_S = 180.0

#: How long a part that is interrupted may take to hand over what it has, and to put its fixtures away.
PATIENCE_S = 30.0

#: A part that hears nothing from its `Host` for so long is not wanted any more: a process that is stopped
#: keeps its connections.
SILENT_S = 30.0

#: Seconds between two signs of life of a `Host`.
_BEAT_S = 2.0

#: What a part says, or is told. JSON.
Words = Mapping[str, Any]

THERE: Words = {"there": True}  #: the `Host` lives
GO: Words = {"go": True}
OVER: Words = {"over": True}  #: whoever still waits does not begin, and the end of the line means nothing


class Keeper:
    """Ends the process of one part when it is told to: also one that starts later. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._interrupted = False
        self.why = ""  #: it was killed

    def keep(self, process: subprocess.Popen[bytes]) -> None:
        """The part is *process*, which leads a process group of its own."""
        with self._lock:
            self._process = process
            if self._interrupted:
                process.send_signal(signal.SIGINT)
            if self.why:
                self._kill()

    def interrupt(self, patience_s: float) -> None:
        """Ctrl-C; and when it has not ended *patience_s* later, its end."""
        with self._lock:
            if self._interrupted:
                return
            self._interrupted = True
            if self._process is not None:
                self._process.send_signal(signal.SIGINT)
        late = threading.Timer(patience_s, self.kill, [f"it did not end within {patience_s:.0f} s of Ctrl-C"])
        late.daemon = True
        late.start()

    def kill(self, why: str) -> None:
        """Its end, and that of all it started, because of *why*."""
        with self._lock:
            if self._process is None or self._process.poll() is None:
                self.why = self.why or why
                self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopbackMeeting:
    """How a part's own process finds its `Host`."""

    port: int
    token: str

    def join(self, part: int, on_stop: Callable[[str], object]) -> Line:
        """Say that *part* is ready, and wait for the word to go; *on_stop* is called with a reason later.

        Raises ConnectionError when there is no one left to lead.
        """
        connection = socket.create_connection((ADDRESS, self.port), timeout=SILENT_S)
        _send(connection, {"token": self.token, "part": part})
        heard = (words for words in _lines(connection) if words != THERE)
        if "go" not in next(heard, OVER):
            connection.close()
            raise ConnectionError("the leading session ended before all were ready")
        return Line(connection, heard, on_stop)


class Line:
    """A part's side of the talk, once it was told to go."""

    def __init__(
        self, connection: socket.socket, heard: Iterator[Words], on_stop: Callable[[str], object]
    ) -> None:
        self._unsaid: queue.SimpleQueue[Words] = queue.SimpleQueue()
        threading.Thread(target=self._talk, args=(connection,), daemon=True).start()
        threading.Thread(target=_listen, args=(connection, heard, on_stop), daemon=True).start()

    def say(self, words: Words) -> None:
        """Tell who leads, without waiting for them."""
        self._unsaid.put(words)

    def _talk(self, connection: socket.socket) -> None:
        while True:
            _send(connection, self._unsaid.get())


def _listen(connection: socket.socket, heard: Iterator[Words], on_stop: Callable[[str], object]) -> None:
    with connection:
        for words in heard:
            if "stop" in words:
                on_stop(words["stop"])
            if "over" in words:
                return
    _give_up()


def _give_up() -> None:
    """The session that leads is gone: nobody waits for this process, and nobody would end it."""
    os.kill(os.getpid(), signal.SIGINT)
    if os.getpgrp() == os.getpid():
        late = threading.Timer(PATIENCE_S, os.killpg, (os.getpid(), signal.SIGKILL))
        late.daemon = True
        late.start()


class Host:
    """The side of who leads.

    *hear* is called with the number of a part and what it says, on a thread of the host; with ``ready``
    first, when it is there.
    """

    def __init__(self, hear: Callable[[int, Words], object]) -> None:
        self._server = socket.create_server((ADDRESS, 0))
        self._hear = hear
        self._guests: list[tuple[int, socket.socket]] = []
        self._said: list[tuple[int | None, Words]] = []
        self._keepers: dict[int, Keeper] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.meeting = LoopbackMeeting(port=self._server.getsockname()[1], token=secrets.token_hex(16))
        threading.Thread(target=self._receive, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def keeper(self, part: int) -> Keeper:
        """Of the process of *part*."""
        with self._lock:
            return self._keepers.setdefault(part, Keeper())

    def say(self, words: Words, *, part: int | None = None) -> None:
        """Tell *part*, or all of them; those too who come later."""
        with self._lock:
            self._said.append((part, words))
            for number, guest in self._guests:
                if part in {None, number}:
                    _send(guest, words)

    def close(self) -> None:
        """Nobody listens any more."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with self._lock:
            for _, guest in self._guests:
                with contextlib.suppress(OSError):
                    guest.shutdown(socket.SHUT_RDWR)  # a thread reads from it

    def _beat(self) -> None:
        while not self._closed.wait(_BEAT_S):
            with self._lock:
                for _, guest in self._guests:
                    _send(guest, THERE)

    def _receive(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(OSError):
                guest, _ = self._server.accept()
                threading.Thread(target=self._attend, args=(guest,), daemon=True).start()

    def _attend(self, guest: socket.socket) -> None:
        with guest:
            guest.settimeout(5.0)
            heard = _lines(guest)
            hello = next(heard, {})
            if not secrets.compare_digest(str(hello.get("token")).encode(), self.meeting.token.encode()):
                return
            guest.settimeout(None)
            part = int(hello["part"])
            with self._lock:
                self._guests.append((part, guest))
                for to, words in self._said:
                    if to in {None, part}:
                        _send(guest, words)
            self._hear(part, {"ready": True})
            for words in heard:
                self._hear(part, words)


def _send(guest: socket.socket, words: Words) -> None:
    with contextlib.suppress(OSError):
        guest.sendall(json.dumps(words).encode() + b"\n")


def _lines(connection: socket.socket) -> Iterator[Words]:
    """What comes, line by line, until the end of it, or a line that nobody here has sent."""
    with contextlib.suppress(OSError, ValueError), connection.makefile("rb") as file:
        for line in file:
            words = json.loads(line)
            if not isinstance(words, dict):
                return
            yield words
