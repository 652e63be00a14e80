"""What every client is asked to do, and what it and the server say about each request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """So many requests by so many users, each of whom asks again when its answer is there.

    The first request of each user opens its connection and is not counted: a client asks ``asked`` in all.
    """

    url: str  #: with /v1
    streams: int
    requests: int
    stream: bool = True
    spread_s: float = 0.0  #: users begin evenly over this time, where the client can do that

    @property
    def asked(self) -> int:
        """With the first request of each user."""
        return self.requests + self.streams

    @property
    def origin(self) -> str:
        """Without /v1."""
        return self.url.removesuffix("/v1")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.origin.removeprefix("http://").partition(":")
        return host, int(port)

    @property
    def begin_per_s(self) -> float:
        """How many users begin in a second."""
        return self.streams / self.spread_s if self.spread_s else float(self.streams)

    def json(self) -> str:
        """As JSON text."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One request in the server's log; times on the clock of ``time.perf_counter()``."""

    names: tuple[str, ...]  #: what a client may know it by: its prompt, its X-Request-ID
    arrived_s: float
    first_s: float  #: just before the first token was sent
    ended_s: float

    @property
    def ttft_s(self) -> float:
        """The real one."""
        return self.first_s - self.arrived_s


def names(headers: Mapping[str, str], body: str) -> tuple[str, ...]:
    """What a request can be known by; *headers* have names in lower case."""
    said = json.loads(body)["messages"][-1]["content"]
    if isinstance(said, list):  # guidellm's and vLLM's prompts are lists of parts
        said = "".join(part.get("text", "") for part in said)
    known = headers.get("x-request-id")
    return (said,) if known is None else (known, said)


class NotMatchedError(Exception):
    """What a client reports is not what the server's log has."""


def counted(log: Sequence[Answered], streams: int) -> list[Answered]:
    """The log in order of arrival, without as many of the first as there are users."""
    return sorted(log, key=lambda one: one.arrived_s)[streams:]


def biases(told: Mapping[str, float], log: Sequence[Answered], work: Work) -> list[float]:
    """Reported minus real time to the first token, request by request, ascending, in seconds.

    Where a client reports the requests that opened its connections too, so many of the first are left out.
    Raises NotMatchedError where more than 2 % of the requests are missing on one of the sides.
    """
    found = []
    for one in sorted(log, key=lambda one: one.arrived_s):
        ttft_s = next((told[name] for name in one.names if name in told), None)
        if ttft_s is not None:
            found.append(ttft_s - one.ttft_s)
    kept = found[max(len(found) - work.requests, 0) :]
    if len(kept) < 0.98 * work.requests:
        raise NotMatchedError(
            f"{len(kept)} of {work.requests} requests are in both the client's report ({len(told)}) and the"
            f" server's log ({len(log)})"
        )
    return sorted(kept)
