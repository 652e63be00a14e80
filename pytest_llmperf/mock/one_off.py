"""What a request's headers ask of the mock: a role for the rules, a fault for this once."""

from __future__ import annotations

import json

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.faults import Fault, parse_fault


def role_and_fault(call: Call) -> tuple[str | None, Fault | None]:
    """The role and the one-off fault that a request's headers carry."""
    role: str | None = None
    fault: Fault | None = None
    if not call.head.marked:
        return role, fault
    for name, value in call.headers:
        key = name.lower()
        if key == b"x-llmperf-role":
            role = value.decode("latin-1")
        elif key == b"x-llmperf-fault":
            text = value.decode("latin-1").strip()
            try:
                fault = parse_fault(
                    json.loads(text) if text.startswith("{") else text, where="x-llmperf-fault"
                )
            except (LlmPerfUsageError, ValueError) as error:
                raise Refusal(
                    status=400, message=str(error), param="x-llmperf-fault", shape="fault"
                ) from None
    return role, fault
