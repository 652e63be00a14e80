"""The head of a request, understood; and those that were seen last."""

from __future__ import annotations

from dataclasses import dataclass

_LONGEST_KNOWN = 8 * 1024
_MOST_KNOWN = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a request says before its body."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]  #: as they were spelled
    keep_alive: bool = True
    chunked: bool = True  #: the client takes the chunked transfer coding
    marked: bool = True  #: may have headers that are meant for the mock (X-Llmperf-...)
    plain: bool = False  #: nothing in it asks for more than its own bytes tell
    size: int = 0  #: bytes of the target and the headers
    body_bytes: int = 0  #: the length of the body that came with it
    is_json: bool = True  #: the body calls itself so

    def header(self, name: bytes) -> bytes | None:
        """The value of the first header of that name (lower case)."""
        for key, value in self.headers:
            if len(key) == len(name) and key.lower() == name:
                return value
        return None


def says_json(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the body calls itself JSON."""
    for name, value in headers:
        if len(name) == 12 and name.lower() == b"content-type":
            return value.partition(b";")[0].strip().lower() == b"application/json"
    return False


class Heads:
    """The heads that were seen last, by their bytes: clients send the same one again and again.

    A request that begins with one of them needs no parser.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def get(self, data: bytes) -> Head | None:
        """What is known of the head that *data* is."""
        return self._known.get(data)

    def learn(self, data: bytes, head: Head) -> None:
        """*data* is one whole request and nothing else; *head* was parsed from it."""
        end = data.find(b"\r\n\r\n") + 4
        if not head.plain or end > _LONGEST_KNOWN or len(data) - end != head.body_bytes:
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[data[:end]] = head
