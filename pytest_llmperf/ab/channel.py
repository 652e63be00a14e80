"""Messages between two processes of this machine: lines of JSON on a socket."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from hmac import compare_digest
from typing import Any


class Channel:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = connection.makefile("rb")

    def send(self, message: dict[str, Any]) -> None:
        """Send *message*. Raises OSError when the other end is gone."""
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def prove(self, token: str) -> None:
        """Send *token*, before any message. Raises OSError when the other end is gone."""
        self._connection.sendall(token.encode())

    def begins_with(self, token: str, *, seconds: float) -> bool:
        """Whether the other end sends *token* before any message; it may be silent no longer than that."""
        with contextlib.suppress(OSError), self.within(seconds):
            return compare_digest(self._reader.read(len(token)), token.encode())
        return False

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """In the block TimeoutError is raised, and ends the talk, when nothing comes for that long."""
        self._connection.settimeout(max(0.001, seconds))  # 0 would mean: do not wait at all
        yield
        self._connection.settimeout(None)

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when the other end is gone."""
        try:
            line = self._reader.readline()
        except TimeoutError:
            raise
        except OSError:
            return None
        message: dict[str, Any] | None = json.loads(line) if line.endswith(b"\n") else None
        return message

    def close(self) -> None:
        """Close this end, which the other one reads as the end."""
        self._reader.close()
        self._connection.close()
