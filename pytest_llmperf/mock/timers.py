"""Timers that fire late by microseconds and never early.

asyncio's own timers wait in epoll with millisecond grain (uvloop's fire early by up to one).
A timerfd in the loop has the kernel's high-resolution timers behind it instead. Elsewhere the
loop's timer is taken up to two milliseconds before the deadline, and the rest is spun.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from time import perf_counter_ns
from typing import Protocol

_CLOCK_MONOTONIC = 1  # what perf_counter_ns reads on Linux
_TFD_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
_TFD_TIMER_ABSTIME = 1
_SPIN_NS = 2_000_000


class Alarm(Protocol):
    """Calls back once, at or after the time it is set to."""

    def set(self, deadline_ns: int) -> None:
        """Ring at *deadline_ns* instead of what was set before."""

    def close(self) -> None:
        """Give everything back."""


class Timers:
    """A heap of deadlines in nanoseconds of ``perf_counter_ns``, over one alarm."""

    __slots__ = ("_alarm", "_armed", "_heap", "_number")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._heap: list[tuple[int, int, Callable[[int], None]]] = []
        self._number = count()  # equal deadlines fire in the order they were asked for
        self._armed = 0  # the deadline that the alarm is set to; 0: none
        self._alarm: Alarm = make_alarm(loop, self._ring)

    def at(self, deadline_ns: int, callback: Callable[[int], None]) -> None:
        """Call *callback* with the deadline, not before it is reached."""
        heappush(self._heap, (deadline_ns, next(self._number), callback))
        if not self._armed or deadline_ns < self._armed:
            self._armed = deadline_ns
            self._alarm.set(deadline_ns)

    def close(self) -> None:
        """Forget all deadlines."""
        self._heap.clear()
        self._alarm.close()

    def _ring(self) -> None:
        heap = self._heap
        self._armed = -1  # `at` does not set the alarm while callbacks run
        try:
            while heap and heap[0][0] <= perf_counter_ns():
                deadline_ns, _, callback = heappop(heap)
                callback(deadline_ns)
        finally:
            self._armed = heap[0][0] if heap else 0
            if heap:
                self._alarm.set(heap[0][0])


def make_alarm(loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> Alarm:
    """The best alarm that this system has."""
    if sys.platform == "linux":
        try:
            return TimerfdAlarm(loop, ring)
        except (OSError, AttributeError, NotImplementedError):
            pass  # a kernel or a loop without it
    return LoopAlarm(loop, ring)


class LoopAlarm:
    """For every system: the loop's timer, and a short spin at its end."""

    __slots__ = ("_deadline_ns", "_handle", "_loop", "_ring")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._deadline_ns = 0
        self._handle: asyncio.Handle | None = None

    def set(self, deadline_ns: int) -> None:
        """Ring at *deadline_ns* instead of what was set before."""
        self._deadline_ns = deadline_ns
        if self._handle is not None:
            self._handle.cancel()
        wait_s = (deadline_ns - perf_counter_ns() - _SPIN_NS) / 1e9
        self._handle = (
            self._loop.call_later(wait_s, self._near) if wait_s > 0 else self._loop.call_soon(self._near)
        )

    def close(self) -> None:
        """Ring no more."""
        if self._handle is not None:
            self._handle.cancel()

    def _near(self) -> None:
        self._handle = None
        if self._deadline_ns - perf_counter_ns() > 2 * _SPIN_NS:
            self.set(self._deadline_ns)  # the loop's timer was early by more than its grain
            return
        while perf_counter_ns() < self._deadline_ns:
            pass
        self._ring()


class TimerfdAlarm:
    """For Linux: a timerfd that the loop watches."""

    __slots__ = ("_fd", "_loop", "_ring", "_settime")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._fd, self._settime = _open_timerfd()
        try:
            loop.add_reader(self._fd, self._fired)
        except BaseException:
            os.close(self._fd)
            raise

    def set(self, deadline_ns: int) -> None:
        """Ring at *deadline_ns* instead of what was set before."""
        self._settime(deadline_ns)

    def close(self) -> None:
        """Give the descriptor back."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _fired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # set anew between the wake-up and now
        self._ring()


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


def _open_timerfd() -> tuple[int, Callable[[int], None]]:
    """A timerfd, and what sets it to an absolute time in nanoseconds."""
    create = getattr(os, "timerfd_create", None)
    if create is not None:  # Python 3.13 and later
        fd = create(_CLOCK_MONOTONIC, flags=_TFD_NONBLOCK_CLOEXEC)
        set_ns = getattr(os, "timerfd_settime_ns")  # noqa: B009 - unknown to the type checker before 3.13

        def set_by_os(deadline_ns: int) -> None:
            set_ns(fd, flags=_TFD_TIMER_ABSTIME, initial=max(1, deadline_ns), interval=0)

        return fd, set_by_os

    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    spec = _TimerSpec()
    reference = ctypes.byref(spec)
    settime = libc.timerfd_settime
    settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

    def set_by_libc(deadline_ns: int) -> None:
        spec.value.seconds, spec.value.nanoseconds = divmod(max(1, deadline_ns), 1_000_000_000)
        settime(fd, _TFD_TIMER_ABSTIME, reference, None)

    return fd, set_by_libc
