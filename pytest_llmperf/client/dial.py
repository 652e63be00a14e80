"""A TCP connection, with its name looked up and its addresses tried.

Side by side as browsers do (RFC 8305), or one after another where a thread blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections.abc import Sequence
from typing import Any

#: Seconds after which the next address is tried beside one that has not answered.
_NEXT_S = 0.25

SHORTEST_S = 0.001  #: for what comes to its turn when its time is up

#: What ``getaddrinfo`` gives for one address.
_Address = tuple[int, Any]  # the family, and Any: what the family calls an address


async def look_up(host: str, port: int) -> tuple[list[_Address], float | None]:
    """Addresses of *host*, and the seconds that it took; None where it is an address. Raises OSError."""
    if (known := _address(host, port)) is not None:
        return [known], None
    return await asyncio.to_thread(look_up_blocking, host, port)


def look_up_blocking(host: str, port: int) -> tuple[list[_Address], float | None]:
    """The same on the running thread."""
    if (known := _address(host, port)) is not None:
        return [known], None
    began_s = time.perf_counter()
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses: list[_Address] = [(family, address) for family, _, _, _, address in found]
    return list(dict.fromkeys(addresses)), time.perf_counter() - began_s


def _address(host: str, port: int) -> _Address | None:
    """*host* if it is an address already."""
    with contextlib.suppress(ValueError):
        version = ipaddress.ip_address(host).version
        return (socket.AF_INET if version == 4 else socket.AF_INET6), (host, port)
    return None


def dial_blocking(addresses: Sequence[_Address], until_s: float) -> socket.socket:
    """The first socket that is connected, one tried after another: each has its share of the time left.

    Raises the first OSError, which may be a TimeoutError, when none is.
    """
    errors: list[OSError] = []
    for tried, (family, address) in enumerate(addresses):
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            share_s = (until_s - time.perf_counter()) / (len(addresses) - tried)
            opened.settimeout(max(share_s, SHORTEST_S))
            opened.connect(address)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            opened.close()
            errors.append(error)
        except BaseException:
            opened.close()
            raise
        else:
            return opened
    raise errors[0]


async def dial(addresses: Sequence[_Address]) -> socket.socket:
    """The first socket that is connected. Raises the first OSError when none is."""
    pending: set[asyncio.Task[socket.socket]] = set()
    errors: list[BaseException] = []
    left = list(addresses)
    try:
        while left or pending:
            if left:
                pending.add(asyncio.create_task(_connected(*left.pop(0))))
            done, pending = await asyncio.wait(
                pending, timeout=_NEXT_S if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            connected = [task.result() for task in done if task.exception() is None]
            errors += [error for task in done if (error := task.exception()) is not None]
            for spare in connected[1:]:
                spare.close()
            if connected:
                return connected[0]
        raise errors[0]
    finally:
        for task in pending:
            task.cancel()
        for late in await asyncio.gather(*pending, return_exceptions=True):
            if isinstance(late, socket.socket):
                late.close()


async def _connected(family: int, address: Any) -> socket.socket:  # Any: see _Address
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)  # noqa: FBT003 - the standard library's own
        await asyncio.get_running_loop().sock_connect(opened, address)
    except BaseException:
        opened.close()
        raise
    return opened
