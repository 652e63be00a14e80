"""The control endpoint: what the test's process may tell a running mock, with the right token."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hmac import compare_digest
from itertools import count
from pathlib import Path
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.config import parse_config
from pytest_llmperf.mock.distribution import LONGEST_S
from pytest_llmperf.mock.faults import parse_fault
from pytest_llmperf.mock.replay import load_replay
from pytest_llmperf.mock.rules import Answer, parse_answer, parse_rule
from pytest_llmperf.mock.state import State

PREFIX = b"/_mock/"


class Control:
    """``/_mock/...``: every path takes a JSON value and gives one."""

    __slots__ = (
        "_acts",
        "_asked",
        "_fail",
        "_listener",
        "_numbers",
        "_questions",
        "_refuse",
        "_reset",
        "_state",
        "_token",
    )

    def __init__(
        self,
        state: Callable[[], State],
        *,
        token: str,
        reset: Callable[[], None],
        refuse: Callable[[float], None],
        fail: Callable[[Call, Exception], None],
    ) -> None:
        self._state = state
        self._token = token.encode()
        self._reset = reset
        self._refuse = refuse
        self._fail = fail
        self._questions: dict[int, tuple[Call, Callable[[Answer], None]]] = {}
        self._numbers = count()
        self._asked: list[dict[str, Any]] = []
        self._listener: Call | None = None
        self._acts: dict[bytes, Callable[[Any], Any]] = {
            b"requests": self._requests,
            b"reset": lambda _: self._reset(),
            b"reply": self._reply,
            b"latency": self._latency,
            b"faults": self._faults,
            b"refuse": self._refuse_for,
            b"replay": self._replay,
            b"answer": self._answer,
        }

    def handle(self, call: Call) -> tuple[int, Any] | None:
        """Status and JSON value; None when the answer comes later."""
        if not compare_digest(call.header(b"x-mock-token") or b"", self._token):
            return 403, {"error": "the header x-mock-token is missing or wrong"}
        name = call.target.partition(b"?")[0][len(PREFIX) :]
        if name == b"asked":
            return self._listen(call)
        act = self._acts.get(name)
        if act is None:
            return 404, {"error": f"no such control: {name.decode('latin-1')}"}
        try:
            return 200, act(json.loads(call.body) if call.body else None)
        except (LlmPerfUsageError, ValueError, TypeError, KeyError, AttributeError) as error:
            return 400, {"error": str(error)}

    def ask(
        self, call: Call, answer: Answer, request: dict[str, Any], then: Callable[[Answer], None]
    ) -> None:
        """Let the function of a rule answer *call*; *then* is called with what it says."""
        number = next(self._numbers)
        self._questions[number] = call, then
        self._asked.append({"number": number, "callback": answer.callback, "request": request})
        if self._listener is not None and not self._listener.done:
            listener, self._listener = self._listener, None
            listener.status = 200
            listener.end(self._take())

    def _take(self) -> bytes:
        body = json.dumps(self._asked).encode()
        self._asked.clear()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        return head + body

    def _listen(self, call: Call) -> tuple[int, Any] | None:
        if self._asked:
            asked = list(self._asked)
            self._asked.clear()
            return 200, asked
        self._listener = call
        return None

    def _answer(self, section: Any) -> None:
        call, then = self._questions.pop(section["number"])
        if call.done:
            return  # its client did not wait
        if "error" in section:
            refused = Refusal(status=500, message=str(section["error"]), type="InternalServerError")
            self._fail(call, refused)
            return
        try:
            then(parse_answer(section["answer"], where="the function's answer"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client waits for an answer
            self._fail(call, error)

    def _requests(self, _: Any) -> Any:
        journal = self._state().journal
        return {"total": journal.total, "requests": journal.entries()}

    def _reply(self, section: Any) -> None:
        state = self._state()
        state.rulebook.add(parse_rule(section, where="reply"))
        state.reuse.clear()

    def _latency(self, section: Any) -> None:
        state = self._state()
        merged = {**json.loads(state.config.section).get("latency", {}), **section}
        state.config = replace(state.config, section=json.dumps({"latency": merged}))
        state.latency = parse_config({"latency": merged}, where="mock").latency

    def _faults(self, sections: Any) -> None:
        playbook = self._state().playbook
        if not sections:
            playbook.clear()
        for at, section in enumerate(sections or ()):
            playbook.add(parse_fault(section, where=f"faults[{at}]"))

    def _replay(self, section: Any) -> None:
        self._state().replay = load_replay(Path(section["file"]), speed=float(section["speed"]))

    def _refuse_for(self, section: Any) -> None:
        for_s = float(section["for_s"])
        if not 0 <= for_s <= LONGEST_S:
            raise ValueError(f"for_s: expected seconds from 0 to {LONGEST_S:g}, not {for_s}")
        self._refuse(for_s)
