"""What can go wrong with an answer: one function for each kind, and when it is played."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from random import Random
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock._fields import Fields
from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.conversation import Conversation
from pytest_llmperf.mock.distribution import parse_duration
from pytest_llmperf.mock.folding import Folded
from pytest_llmperf.mock.plan import NO_TIMES, Plan

_FOREVER_S = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault, and the requests it is played on; all conditions must hold."""

    kind: str
    rate: float = 1.0  #: share of the matching requests
    times: int | None = None  #: so often, then never again
    skip: int = 0  #: matching requests left alone first
    every: int = 1  #: of the matching requests, each so manieth
    from_s: float = 0.0  #: since start or reset
    until_s: float | None = None
    contains: tuple[Folded, ...] = ()  #: any of them, in the last user message
    model: str | None = None
    role: str | None = None
    stream: bool | None = None
    # what kinds need
    status: int = 500
    message: str | None = None
    after: int | None = None  #: tokens sent before it
    for_s: float = _FOREVER_S
    retry_after_s: float | None = None
    factor: float = 2.0
    bytes: int = 1  #: at a time

    def matches(self, said: Conversation | None, *, stream: bool, now_s: float) -> bool:
        """Whether a request is one that the fault is for."""
        if now_s < self.from_s or (self.until_s is not None and now_s >= self.until_s):
            return False
        if self.stream is not None and self.stream is not stream:
            return False
        if said is None:
            return not self.contains and self.model is None and self.role is None
        return (
            (self.model is None or self.model == said.model)
            and (self.role is None or self.role == said.role)
            and (not self.contains or any(map(said.folded.contains, self.contains)))
        )


_WHEN = ("rate", "times", "skip", "every", "from", "until", "contains", "model", "role", "stream")
#: Every kind, and what it takes beside the requests that it is for.
KINDS: dict[str, tuple[str, ...]] = {
    "status": ("status", "message", "retry_after"),
    "rate_limit": ("status", "message", "retry_after"),
    "refuse": ("for",),
    "reset": ("after",),
    "cut": ("after",),
    "stall": ("after", "for"),
    "malformed_sse": ("after",),
    "truncated_utf8": ("after",),
    "malformed_json": ("after",),
    "empty_body": (),
    "error_in_stream": ("after", "status", "message"),
    "slow_loris": ("bytes", "for"),
    "early_role": ("for",),
    "buffered": (),
    "slow": ("factor",),
    "empty": (),
    "wrong_schema": (),
    "wrong_usage": ("factor",),
    "no_usage": (),
    "no_done": (),
}
_KEYS = ("kind", *_WHEN, *{key: None for taken in KINDS.values() for key in taken})


def parse_fault(section: Any, *, where: str) -> Fault:
    """One entry of ``faults:``; LlmPerfUsageError with the path when it makes no sense."""
    if isinstance(section, str):
        section = {"kind": section}
    fields = Fields(section, where=where, allowed=_KEYS)
    kind = fields.one_of("kind", KINDS, "")
    for key in fields.values:
        if key not in ("kind", *_WHEN, *KINDS[kind]):
            taken = ", ".join(KINDS[kind]) or "nothing else"
            raise LlmPerfUsageError(
                f"{fields.path(key)} means nothing to the fault {kind!r}, which takes {taken} (and on which "
                f"requests it is played: {', '.join(_WHEN)})"
            )

    def seconds(key: str) -> float | None:
        return parse_duration(fields.values[key], where=fields.path(key)) if key in fields.values else None

    for_s, from_s, until_s = seconds("for"), seconds("from") or 0.0, seconds("until")
    if until_s is not None and until_s <= from_s:
        raise LlmPerfUsageError(f"{fields.path('until')}: expected a moment after the fault's first one")
    status = fields.whole("status", 429 if kind == "rate_limit" else 500, low=400, high=599)
    return Fault(
        kind=kind,
        rate=fields.number("rate", 1.0, high=1.0),
        times=fields.whole("times", 1, low=1) if "times" in fields else None,
        skip=fields.whole("skip", 0),
        every=fields.whole("every", 1, low=1),
        from_s=from_s,
        until_s=until_s,
        contains=tuple(map(Folded, fields.texts("contains"))),
        model=fields.text("model"),
        role=fields.text("role"),
        stream=fields.flag("stream") if "stream" in fields else None,
        status=status,
        message=fields.text("message"),
        after=fields.whole("after", 0) if "after" in fields else None,
        for_s=_FOREVER_S if for_s is None else for_s,
        retry_after_s=seconds("retry_after"),
        factor=fields.number("factor", 2.0, high=1000.0),
        bytes=fields.whole("bytes", 1, low=1),
    )


class Playbook:
    """The faults in order, and how often each has been met and played."""

    __slots__ = ("_met", "_played", "_rng", "faults")

    def __init__(self, faults: list[Fault], rng: Random) -> None:
        self.faults = faults
        self._met = [0] * len(faults)
        self._played = [0] * len(faults)
        self._rng = rng

    def pick(
        self,
        said: Conversation | None,
        *,
        stream: bool,
        now_s: float,
        kinds: Container[str] = KINDS,
    ) -> Fault | None:
        """The first fault, of these *kinds*, that is to be played on this request.

        One random number is drawn for every matching fault with a rate, whether or not an
        earlier one is played: the draws of one fault do not depend on the others'.
        """
        chosen: Fault | None = None
        for index, fault in enumerate(self.faults):
            if fault.kind not in kinds or not fault.matches(said, stream=stream, now_s=now_s):
                continue
            hit = fault.rate >= 1.0 or self._rng.random() < fault.rate
            self._met[index] += 1
            turn = self._met[index] - fault.skip
            used_up = fault.times is not None and self._played[index] >= fault.times
            if chosen is None and hit and turn > 0 and turn % fault.every == 0 and not used_up:
                self._played[index] += 1
                chosen = fault
        return chosen

    def add(self, fault: Fault) -> None:
        """Put *fault* after the others."""
        self.faults.append(fault)
        self._met.append(0)
        self._played.append(0)

    def clear(self) -> None:
        """No faults any more."""
        self.faults.clear()
        self._met.clear()
        self._played.clear()


# --- kinds that change the plan of an answer

_BROKEN_EVENT = (
    b'{"id":"chatcmpl-0","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"'
)
_CUT_CHARACTER = '{"choices":[{"index":0,"delta":{"content":"ı'.encode()[:-1] + b'"}}]}'  # noqa: RUF001
_DONE = b"[DONE]"


def _event(plan: Plan, payload: bytes) -> bytes:
    """*payload* as one event of the stream."""
    return plan.frame(payload + b"\n" if plan.lines else b"data: " + payload + b"\n\n")


def _middle(plan: Plan, fault: Fault) -> int:
    """The step before which something happens: ``after``, or the middle; never past the end."""
    count = len(plan.parts)
    return min(count // 2 if fault.after is None else fault.after, count - 1)


def _reset(plan: Plan, fault: Fault) -> None:
    plan.end_after, plan.reset = (min(fault.after, len(plan.parts) - 1) if fault.after else 0), True
    if not fault.after:
        plan.head_late, plan.ttft_ns = True, 0


def _cut(plan: Plan, fault: Fault) -> None:
    if plan.stream:
        plan.end_after = _middle(plan, fault)
    else:  # the promised length is not reached
        whole = plan.parts[-1] + (plan.last(NO_TIMES) if plan.last else b"")
        plan.parts[-1], plan.last = whole[: max(1, len(whole) - 20)], None
        plan.end_after = len(plan.parts)


def _stall(plan: Plan, fault: Fault) -> None:
    step = min(fault.after or 0, len(plan.parts) - 1)
    plan.extra_ns[step] = plan.extra_ns.get(step, 0) + round(fault.for_s * 1e9)


def _malformed_sse(plan: Plan, fault: Fault) -> None:
    if plan.stream:
        plan.parts[_middle(plan, fault)] += _event(plan, _BROKEN_EVENT)
    else:
        _malformed_json(plan, fault)


def _truncated_utf8(plan: Plan, fault: Fault) -> None:
    if plan.stream:
        plan.parts[_middle(plan, fault)] += _event(plan, _CUT_CHARACTER)
    else:
        _set_body(plan, b'{"choices":[{"index":0,"message":{"role":"assistant","content":"\xc4"}}]}')


def _malformed_json(plan: Plan, fault: Fault) -> None:
    if plan.stream:
        _malformed_sse(plan, fault)
    else:
        _set_body(
            plan,
            b'{"id":"chatcmpl-0","object":"chat.completion","choices":[{"index":0,"message":{"content":"',
        )


def _empty_body(plan: Plan, _: Fault) -> None:
    if plan.stream:
        plan.parts = [b""] * len(plan.parts)
        plan.parts[-1], plan.last = plan.frame(b""), None
    else:
        _set_body(plan, b"")


def _error_in_stream(plan: Plan, fault: Fault) -> None:
    if not plan.stream:
        return
    assert plan.error is not None
    step = _middle(plan, fault)
    text = fault.message or "EngineCore encountered an issue. See stack trace (above) for the root cause."
    refused = Refusal(status=fault.status, message=text, type="InternalServerError", shape="fault")
    done = b"" if plan.lines else _event(plan, _DONE)
    plan.parts[step:] = [_event(plan, plan.error(refused)) + done + plan.frame(b"")]
    plan.last = None
    if not isinstance(plan.gaps, int):
        plan.gaps = list(plan.gaps)[:step]


def _slow_loris(plan: Plan, fault: Fault) -> None:
    gap_s = 0.05 if fault.for_s == _FOREVER_S else fault.for_s
    plan.drip = (fault.bytes, round(gap_s * 1e9))
    _buffered(plan, fault)


def _early_role(plan: Plan, fault: Fault) -> None:
    """The role chunk at once, the first token as much later as ``for`` says."""
    if not plan.stream:
        return
    lead_ns = round((0.5 if fault.for_s == _FOREVER_S else fault.for_s) * 1e9)
    first, found, rest = plan.parts[0].partition(b"\n\n\r\n")
    if found:
        plan.early.append((0, first + found))
        plan.parts[0] = rest
    plan.extra_ns[0] = plan.extra_ns.get(0, 0) + lead_ns


def _buffered(plan: Plan, _: Fault) -> None:
    """A proxy in between that passes nothing on before the end."""
    plan.parts = [*([b""] * (len(plan.parts) - 1)), b"".join(plan.parts)]
    plan.head_late = True


def _slow(plan: Plan, fault: Fault) -> None:
    plan.ttft_ns = round(plan.ttft_ns * fault.factor)
    gaps = plan.gaps
    plan.gaps = (
        round(gaps * fault.factor) if isinstance(gaps, int) else [round(gap * fault.factor) for gap in gaps]
    )


def _set_body(plan: Plan, body: bytes) -> None:
    framing = (b"content-length:", b"transfer-encoding:")
    kept = [line for line in plan.head.split(b"\r\n") if not line.lower().startswith(framing)]
    kept.insert(1, b"content-length: %d" % len(body))
    plan.head = b"\r\n".join(kept)
    plan.parts[-1], plan.last = body, None


FAULTS: dict[str, Callable[[Plan, Fault], None]] = {
    "reset": _reset,
    "cut": _cut,
    "stall": _stall,
    "malformed_sse": _malformed_sse,
    "truncated_utf8": _truncated_utf8,
    "malformed_json": _malformed_json,
    "empty_body": _empty_body,
    "error_in_stream": _error_in_stream,
    "slow_loris": _slow_loris,
    "early_role": _early_role,
    "buffered": _buffered,
    "slow": _slow,
}
INSTEAD = ("status", "rate_limit", "refuse")  #: played instead of an answer
PLAYABLE = (*INSTEAD, *FAULTS)  #: on whatever is sent
#: played on what is said, counted and written
CONTENT = ("empty", "wrong_schema", "wrong_usage", "no_usage", "no_done")
