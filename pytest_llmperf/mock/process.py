"""The handle of a mock server that runs in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

from pytest_llmperf.child_process.parent import Child, ChildGoneError, start
from pytest_llmperf.client.redact import redact
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.loopback import ADDRESS
from pytest_llmperf.mock.config import MockConfig, parse_config
from pytest_llmperf.mock.empirical import resolve_empirical
from pytest_llmperf.mock.faults import parse_fault
from pytest_llmperf.mock.include import expand
from pytest_llmperf.mock.rules import parse_answer, parse_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """One request as the mock received it. Times are on the clock of ``time.perf_counter()``.

    On Linux that clock is the same for all processes of the machine, so that a client's own
    measurement can be compared with these.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]  #: names in lower case, secrets redacted
    body: str  #: as it came; the first 256 KiB
    arrived_s: float  #: when the last byte of the request was read
    first_byte_s: float | None  #: just before the answer's first byte was sent
    first_token_s: float | None  #: just before the first token was sent
    last_byte_s: float | None  #: just before the answer's last byte was sent
    status: int  #: 0: no answer was begun
    fault: str  #: the fault that was played, "" for none

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class MockServer:
    """A running mock server. Stops with ``stop()``, at the end of a ``with`` block, or with this process."""

    def __init__(self, child: Child, *, token: str) -> None:
        self._child = child
        self._token = token
        self._lock = threading.Lock()
        self._control: int = child.said["control"]
        self._connection = http.client.HTTPConnection(ADDRESS, self._control, timeout=10)
        self._functions: dict[int, Callable[[dict[str, Any]], Any]] = {}  # until the next reset
        self._numbers = count()
        self._listener: threading.Thread | None = None
        self._stopped = False
        self.port: int = child.said["port"]
        self.url = f"http://{ADDRESS}:{self.port}/v1"

    def __repr__(self) -> str:
        state = "running" if self._child.runs else "stopped"
        return f"<MockServer {self.url} {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process the server runs in."""
        return self._child.pid

    @property
    def why_ended(self) -> str:
        """Why it ended without being told to, in one line; empty while it runs, and after ``stop()``."""
        if self._stopped or self._child.runs:
            return ""
        return self._last_words()

    def reply(self, answer: Any = None, /, **rule: Any) -> None:
        """Answer *answer* from now on: a text, what JSON can hold, or a function that says it.

        A function is called in this process, on a thread, with a dict of ``user``, ``system``,
        ``history``, ``model`` and ``body``; the time it takes counts into the time to first token.
        What it raises becomes an answer with status 500.
        Instead of *answer*: ``sequence=[...]``, ``template="Dediniz ki: {user}"``, ``tool_calls=[...]``.

        Conditions are those of a rule in slo.yaml: ``contains=``, ``regex=``, ``equals=``,
        ``model=``, ``turn=``, ``times=`` … The newest rule goes first. ``include="rules.yaml"`` adds
        the rules of a file, in their order.
        """
        section = dict(rule)
        if answer is None and set(section) == {"include"}:
            for one, where in reversed(list(expand([section], where="llm_mock.reply", folder=None))):
                parse_rule(one, where=where)
                self._post("/_mock/reply", one)
            return
        if callable(answer):
            section["callback"] = self._remember(answer)
        elif isinstance(answer, str):
            section["text"] = answer
        elif answer is not None:
            section["json"] = answer
        parse_rule(section, where="llm_mock.reply")
        self._post("/_mock/reply", section)

    def latency(self, *, ttft: Any = None, itl: Any = None) -> None:
        """Change when tokens leave: distributions as in slo.yaml, as ``lognormal(55ms, 0.1)``."""
        given = {key: value for key, value in (("ttft", ttft), ("itl", itl)) if value is not None}
        section = {
            key: resolve_empirical(value, where=f"llm_mock.latency {key}", folder=None)
            for key, value in given.items()
        }
        parse_config({"latency": section}, where="llm_mock")
        self._post("/_mock/latency", section)

    def faults(self, *faults: str | Mapping[str, Any], **fault: Any) -> None:
        """Play these faults from now on, after those there are; without any, play none any more.

        One by keywords, ``faults(kind="status", status=429, times=2)``, or several as in slo.yaml.
        ``from_=`` stands for the key ``from``, ``for_=`` for ``for``.
        """
        sections: list[Any] = [one if isinstance(one, str) else dict(one) for one in faults]
        if fault:
            sections.append({key.rstrip("_"): value for key, value in fault.items()})
        for at, section in enumerate(sections):
            parse_fault(section, where=f"llm_mock.faults[{at}]")
        self._post("/_mock/faults", sections)

    def replay(self, path: str | Path, *, speed: float = 1.0) -> None:
        """Give the answers of a recording from now on, *speed* times as fast as they came."""
        checked = parse_config({"replay": str(path), "speed": speed}, where="llm_mock.replay")
        self._post("/_mock/replay", {"file": str(checked.replay), "speed": checked.speed})

    def refuse(self, for_s: float) -> None:
        """Refuse connections, and reset those there are, for *for_s* seconds from now."""
        self._post("/_mock/refuse", {"for_s": for_s})

    def reset(self) -> None:
        """Go back to how it was started: rules, latency, faults, seed; forget received requests."""
        self._post("/_mock/reset", None)
        self._functions.clear()

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """What was received since the start or the last reset, in order of completion."""
        return tuple(map(_received, self._post("/_mock/requests", None)["requests"]))

    def stop(self) -> None:
        """End the process; harmless when it has ended."""
        self._stopped = True
        self._connection.close()
        self._child.stop()

    def _remember(self, function: Callable[[dict[str, Any]], Any]) -> int:
        number = next(self._numbers)
        self._functions[number] = function
        if self._listener is None:
            self._listener = threading.Thread(
                target=self._answer_questions, name="llm_mock replies", daemon=True
            )
            self._listener.start()
        return number

    def _answer_questions(self) -> None:
        """Ask the server for requests that a function is to answer, until the server ends."""
        connection = http.client.HTTPConnection(ADDRESS, self._control)
        headers = {"x-mock-token": self._token}
        with contextlib.suppress(http.client.HTTPException, OSError, ValueError):
            while not self._stopped:
                connection.request("POST", "/_mock/asked", b"null", headers)
                for asked in json.loads(connection.getresponse().read()):
                    body = json.dumps({"number": asked["number"], **self._call(asked)}).encode()
                    connection.request("POST", "/_mock/answer", body, headers)
                    connection.getresponse().read()
        connection.close()

    def _call(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of the function, or the error that the client gets instead."""
        try:
            said = self._functions[asked["callback"]](asked["request"])
            answer = said if isinstance(said, str) else {"json": said}
            parse_answer(answer, where="the reply function's answer")
        except LlmPerfUsageError as error:
            return {"error": str(error)}
        except BaseException as error:  # noqa: BLE001 - the test's own function, and pytest.fail is no Exception
            return {"error": f"the reply function raised {type(error).__name__}: {error}"}
        return {"answer": answer}

    def _post(self, path: str, value: Any) -> Any:
        body = json.dumps(value).encode()
        with self._lock:
            try:
                status, answer = self._exchange(path, body)
            except (http.client.HTTPException, OSError):
                self._connection.close()  # it was closed while idle
                try:
                    status, answer = self._exchange(path, body)
                except (http.client.HTTPException, OSError) as error:
                    why = self._last_words()
                    if self._stopped or self._child.runs:
                        why = str(error)
                    raise ChildGoneError(f"the mock server at {self.url} does not answer: {why}") from error
        parsed = json.loads(answer)
        if status != 200:
            raise LlmPerfUsageError(f"mock: {parsed.get('error', answer)}")
        return parsed

    def _last_words(self) -> str:
        return self._child.last_words(hide=lambda text: redact(text, [self._token]))

    def _exchange(self, path: str, body: bytes) -> tuple[int, bytes]:
        self._connection.request("POST", path, body, {"x-mock-token": self._token})
        response = self._connection.getresponse()
        return response.status, response.read()


def start_mock(
    config: MockConfig | Mapping[str, Any] | None = None, *, port: int = 0, seed: int | None = None
) -> MockServer:
    """Start a mock server in its own process; it listens when this returns.

    *config* is a parsed configuration or the ``mock:`` section itself; *port* 0 takes a free one;
    *seed* wins over the configuration's. Raises LlmPerfUsageError for a configuration or a port
    that cannot be used.
    """
    parsed = config if isinstance(config, MockConfig) else parse_config(config or {}, where="mock")
    section = json.loads(parsed.section)
    if seed is not None:
        section["seed"] = seed
    token = secrets.token_urlsafe(24)
    order = {"section": section, "where": "mock", "port": port, "token": token}
    return MockServer(start("pytest_llmperf.mock.child", order, what="the mock server"), token=token)


def _received(entry: Mapping[str, Any]) -> ReceivedRequest:
    return ReceivedRequest(
        method=entry["method"],
        path=entry["path"],
        headers=tuple((name, value) for name, value in entry["headers"]),
        body=entry["body"],
        arrived_s=entry["arrived_ns"] / 1e9,
        first_byte_s=entry["first_byte_ns"] / 1e9 if entry["first_byte_ns"] else None,
        first_token_s=entry["first_token_ns"] / 1e9 if entry["first_token_ns"] else None,
        last_byte_s=entry["last_byte_ns"] / 1e9 if entry["last_byte_ns"] else None,
        status=entry["status"],
        fault=entry["fault"],
    )
