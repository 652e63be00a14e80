"""Waiting in an event loop until a moment, to some microseconds where the system can.

asyncio rounds every wait up to a millisecond (epoll's unit), which would be part of each latency in an
open loop. Linux has timers that are read like files.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from types import TracebackType
from typing import Self

_CLOCK_MONOTONIC = 1  # the clock of time.perf_counter() on Linux
_TFD_NONBLOCK = os.O_NONBLOCK if hasattr(os, "O_NONBLOCK") else 0
_TFD_TIMER_ABSTIME = 1


class _Moment(ctypes.Structure):
    """``struct itimerspec`` with its two ``struct timespec``."""

    _fields_ = (
        ("every_s", ctypes.c_long),
        ("every_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class Timer:
    """One waiter's timer in the running event loop; use it in a ``with`` block."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._file = -1
        self._waiter: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        if self._libc is not None:
            self._file = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK)
        if self._file >= 0:
            try:
                self._loop.add_reader(self._file, self._ring)
            except NotImplementedError:  # an event loop without readers
                os.close(self._file)
                self._file = -1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = -1

    async def until(self, at_s: float) -> None:
        """Wait until *at_s* on the clock of ``time.perf_counter()``; others run even if that is past."""
        if at_s <= time.perf_counter():
            await asyncio.sleep(0)
        elif self._file < 0 or self._libc is None:
            await asyncio.sleep(at_s - time.perf_counter())
        else:
            self._waiter = self._loop.create_future()
            moment = _Moment(0, 0, int(at_s), int(at_s % 1 * 1e9))
            self._libc.timerfd_settime(self._file, _TFD_TIMER_ABSTIME, ctypes.byref(moment), None)
            await self._waiter

    def _ring(self) -> None:
        try:
            os.read(self._file, 8)
        except BlockingIOError:
            return
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
