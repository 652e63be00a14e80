"""An answer before it is sent: what leaves after which token, and what goes wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pytest_llmperf.mock.checks import Refusal

Gaps = int | Sequence[int]  #: nanoseconds between steps: one for all, or one each


@dataclass(slots=True, kw_only=True)
class Timing:
    """When things happened to one answer, in nanoseconds of ``perf_counter_ns``."""

    arrived_ns: int
    started_ns: int  #: left the waiting queue
    prefilled_ns: int = 0  #: the share of the time to the first token that depends on the prompt's length
    cold_ns: int = 0  #: the share of it that loading the model took
    first_ns: int = 0  #: first token due
    last_ns: int = 0  #: last token due


NO_TIMES = Timing(arrived_ns=0, started_ns=0)  #: of an answer that tells none
Late = Callable[[Timing], bytes]  #: a part that tells times, made when it is sent


@dataclass(slots=True, kw_only=True)
class Plan:
    """One answer: its head, its parts by step of the engine, its pace, and how it ends.

    A fault is a change to one of these; the sending side knows nothing of faults.
    """

    head: bytes
    parts: list[bytes]  #: what is sent when the step is done; framed already
    stream: bool
    status: int = 200
    ttft_ns: int = 0
    gaps: Gaps = 0
    last: Late | None = None  #: sent after the last part
    frame: Callable[[bytes], bytes] = bytes  #: framing for what is sent outside of *parts*
    lines: bool = False  #: events are lines of JSON, not server-sent events
    error: Callable[[Refusal], bytes] | None = None  #: in the words of the server; for faults
    extra_ns: dict[int, int] = field(default_factory=dict)  #: added before that step
    early: list[tuple[int, bytes]] = field(default_factory=list)  #: (nanoseconds after arrival, bytes)
    head_late: bool = False  #: the head waits for the first part
    end_after: int | None = None  #: steps that are sent before the connection is closed; None: all, properly
    reset: bool = False  #: close with a reset
    drip: tuple[int, int] | None = None  #: (bytes, nanoseconds): so many bytes at a time, that far apart
