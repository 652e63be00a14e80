"""What a CI system or a cluster sends first to end a job, while a load runs."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """In the block SIGTERM ends the session as Ctrl-C does, so that what was measured is reported.

    Nothing is changed where someone else has a use for SIGTERM, or outside of the main thread.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)  # whoever handles Ctrl-C, such as an event loop, knows what to do
