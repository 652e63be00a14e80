"""A network for httpx and httpx2 that stamps what arrives and changes nothing else.

Both libraries sit on an httpcore whose connections are opened by a *network backend*; wrapped, each
connection knows when it was last read from and written to. An answer's ``network_stream`` extension is
that connection, which leads from a piece of the body to the time of its bytes.
"""

from __future__ import annotations

import time
from typing import Any

# Any: httpcore and httpcore2 have the same names with types of their own.


class StampedStream:
    """A synchronous connection."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.read_s: float | None = None  #: when the last bytes arrived
        self.wrote_s: float | None = None  #: when the last bytes went out

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes."""
        data: bytes = self._stream.read(max_bytes, timeout)
        self.read_s = time.perf_counter()
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send."""
        self.wrote_s = time.perf_counter()
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Close."""
        self._stream.close()

    def start_tls(self, *arguments: Any, **named: Any) -> StampedStream:
        """The same connection, encrypted."""
        return StampedStream(self._stream.start_tls(*arguments, **named))

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks."""
        return self._stream.get_extra_info(info)


class StampedNetwork:
    """Opens synchronous connections."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def connect_tcp(self, *arguments: Any, **named: Any) -> StampedStream:
        """Connect."""
        return StampedStream(self._network.connect_tcp(*arguments, **named))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)


class AsyncStampedStream:
    """An asynchronous connection."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.read_s: float | None = None  #: when the last bytes arrived
        self.wrote_s: float | None = None  #: when the last bytes went out

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        """The next bytes."""
        data: bytes = await self._stream.read(max_bytes, timeout)
        self.read_s = time.perf_counter()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        """Send."""
        self.wrote_s = time.perf_counter()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()

    async def start_tls(self, *arguments: Any, **named: Any) -> AsyncStampedStream:
        """The same connection, encrypted."""
        return AsyncStampedStream(await self._stream.start_tls(*arguments, **named))

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks."""
        return self._stream.get_extra_info(info)


class AsyncStampedNetwork:
    """Opens asynchronous connections."""

    def __init__(self, network: Any) -> None:
        self._network = network

    async def connect_tcp(self, *arguments: Any, **named: Any) -> AsyncStampedStream:
        """Connect."""
        return AsyncStampedStream(await self._network.connect_tcp(*arguments, **named))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)


def stamp(transport: Any, *, asynchronous: bool) -> None:
    """Let *transport*, one of httpx or httpx2, stamp what arrives.

    It is reached by private names; if they change, pieces are stamped when the library hands them out.
    """
    pool: Any = getattr(transport, "_pool", None)
    network = getattr(pool, "_network_backend", None)
    if network is not None:
        wrapped = AsyncStampedNetwork(network) if asynchronous else StampedNetwork(network)
        pool._network_backend = wrapped  # noqa: SLF001 - see above
