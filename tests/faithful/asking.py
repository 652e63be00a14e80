"""One exchange on a socket, as bytes: nothing that a client library would smooth over is lost."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CLOSED = "the connection is closed"
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer, its head as it was spelled and its body without its framing."""

    first: str  #: status line
    headers: tuple[tuple[str, str], ...]
    body: bytes
    stays: bool  #: the connection took another request afterwards

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.first.split(" ")[1])

    def header(self, name: str) -> str | None:
        """The value of the header *name* (lower case)."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def as_json(self) -> dict[str, Any]:
        """What a recording keeps."""
        return {
            "first": self.first,
            "headers": [list(pair) for pair in self.headers],
            "body": self.body.decode("utf-8", "surrogateescape"),
            "stays": self.stays,
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Answered:
        """The answer that a recording kept."""
        return cls(
            first=kept["first"],
            headers=tuple((name, value) for name, value in kept["headers"]),
            body=kept["body"].encode("utf-8", "surrogateescape"),
            stays=kept["stays"],
        )


def ask(port: int, data: bytes, *, answers: int = 1) -> list[Answered]:
    """The *answers* to the bytes *data* on a connection of their own; fewer if the server closes before."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        reader = _Reader(connection)
        # it may answer and close before it has read everything
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        is_head = data.startswith(b"HEAD ")
        found = list(_answers(reader, answers, is_head=is_head))
        stays = bool(found) and _takes_another(connection, reader)
        return [
            Answered(first=first, headers=headers, body=body, stays=stays or at < len(found) - 1)
            for at, (first, headers, body) in enumerate(found)
        ]


def _answers(
    reader: _Reader, wanted: int, *, is_head: bool
) -> Iterator[tuple[str, tuple[tuple[str, str], ...], bytes]]:
    for _ in range(wanted):
        head = reader.until(b"\r\n\r\n")
        if head is None:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
        known = {name.lower(): value for name, value in headers}
        status = int(first.split(" ")[1])
        if status < 200 or status in (204, 304) or is_head:
            body = b""
        elif known.get("transfer-encoding", "").lower() == "chunked":
            body = reader.chunks()
        elif "content-length" in known:
            body = reader.exactly(int(known["content-length"]))
        else:
            body = reader.rest()
        yield first, headers, body


def _takes_another(connection: socket.socket, reader: _Reader) -> bool:
    try:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        return reader.until(b"\r\n\r\n") is not None
    except OSError:
        return False


class _Reader:
    """What comes from a socket, taken in pieces whose ends are known."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._data = b""

    def _more(self) -> bool:
        try:
            data = self._connection.recv(65536)
        except ConnectionResetError:
            data = b""
        self._data += data
        return bool(data)

    def until(self, end: bytes) -> bytes | None:
        """What comes before *end*, or None when the connection ends first."""
        while end not in self._data:
            if not self._more():
                return None
        before, _, self._data = self._data.partition(end)
        return before

    def exactly(self, size: int) -> bytes:
        """So many bytes, or fewer when the connection ends first."""
        while len(self._data) < size and self._more():
            pass
        data, self._data = self._data[:size], self._data[size:]
        return data

    def rest(self) -> bytes:
        """Everything until the end of the connection."""
        while self._more():
            pass
        data, self._data = self._data, b""
        return data

    def chunks(self) -> bytes:
        """A chunked body, without its framing."""
        body = b""
        while (line := self.until(b"\r\n")) is not None and (size := int(line.partition(b";")[0], 16)):
            body += self.exactly(size)
            self.exactly(2)
        self.exactly(2)
        return body
