"""The bounds of vLLM's sampling parameters, in the order in which it looks at them, and its words."""

from __future__ import annotations

from math import isfinite
from typing import Any

from pytest_llmperf.mock.checks import Refusal, number, whole

MAX_N = 128  #: answers to one request; vLLM's own limit of 16384 would let one request fill the memory
MAX_LOGPROBS = 20
_COUNTS_AND_PENALTIES = frozenset({"n", "presence_penalty", "frequency_penalty", "repetition_penalty"})


def check_sampling(request: dict[str, Any], *, limit: Any, least: int = 1) -> None:
    """Raise Refusal when a value is out of its bounds; *limit* is how many tokens are wanted."""
    get = request.get
    if not _COUNTS_AND_PENALTIES.isdisjoint(request):
        _check_counts_and_penalties(request)
    if (value := get("temperature")) is not None:
        _check_temperature(float(value))
    if (value := get("top_p")) is not None and not 0 < float(value) <= 1:
        raise bad_parameter("top_p", f"top_p must be in (0, 1], got {float(value)}.", float(value))
    if (value := get("top_k")) is not None and int(value) < -1:
        text = f"top_k must be 0 (disable), or at least 1, got {int(value)}."
        raise _unnamed("top_k", text, int(value))
    if (value := get("min_p")) is not None and not 0 <= float(value) <= 1:
        raise _unnamed("min_p", f"min_p must be in [0, 1], got {float(value)}.", float(value))
    if limit is not None or "min_tokens" in request:
        _check_lengths(limit, least, whole(get("min_tokens"), 0))


def _check_counts_and_penalties(request: dict[str, Any]) -> None:
    get = request.get
    n = whole(get("n"), 1)
    if n < 1:
        raise _unnamed("n", f"n must be at least 1, got {n}.", n)
    if n > MAX_N:
        more = "To increase this limit, set the VLLM_MAX_N_SEQUENCES environment variable."
        raise _unnamed("n", f"n must be at most {MAX_N}, got {n}. {more}", n)
    for name in ("presence_penalty", "frequency_penalty"):
        penalty = number(get(name), 0.0)
        if not -2 <= penalty <= 2:
            raise _unnamed(name, f"{name} must be in [-2, 2], got {penalty}.", penalty)
    repetition = number(get("repetition_penalty"), 1.0)
    if not isfinite(repetition):
        text = f"repetition_penalty must be a finite number, got {repetition}."
        raise _unnamed("repetition_penalty", text, repetition)
    if repetition <= 0:
        text = f"repetition_penalty must be greater than zero, got {repetition}."
        raise _unnamed("repetition_penalty", text, repetition)


def _check_temperature(temperature: float) -> None:
    if 0 <= temperature <= 2:
        return
    problem = "a finite number"
    if isfinite(temperature):
        problem = "non-negative" if temperature < 0 else "in [0, 2]"
    text = f"temperature must be {problem}, got {temperature}."
    raise bad_parameter("temperature", text, temperature)


def _check_lengths(limit: Any, least: int, min_tokens: int) -> None:
    most = None if limit is None else int(limit)
    if most is not None and most < least:
        raise bad_parameter("max_tokens", f"max_tokens must be at least 1, got {most}.", most)
    if min_tokens < 0:
        text = f"min_tokens must be greater than or equal to 0, got {min_tokens}."
        raise _unnamed("min_tokens", text, min_tokens)
    if most is not None and min_tokens > max(1, most):
        text = f"min_tokens must be less than or equal to max_tokens={most}, got {min_tokens}."
        raise _unnamed("min_tokens", text, min_tokens)


def check_vllms_own(request: dict[str, Any], alternatives: Any) -> None:
    """What vLLM alone refuses: several greedy answers, an empty stop sequence, too many *alternatives*."""
    get = request.get
    stop = get("stop")
    if stop == "" or (isinstance(stop, list) and "" in stop):
        raise _unnamed("stop", "stop cannot contain an empty string.", stop)
    n = whole(get("n"), 1)
    if n > 1 and number(get("temperature"), 1.0) < 1e-5:
        raise _unnamed("n", f"n must be 1 when using greedy sampling, got {n}.", n)
    if alternatives is not None and int(alternatives) > MAX_LOGPROBS:
        shown = int(alternatives)
        text = f"Requested sample logprobs of {shown}, which is greater than max allowed: {MAX_LOGPROBS}"
        raise bad_parameter("logprobs", text, shown)


def bad_parameter(name: str, message: str, value: Any) -> Refusal:
    """The words for a value that its sampler does not take."""
    return Refusal(
        status=400,
        message=f"{message} (parameter={name}, value={value})",
        param=name,
        shape="sampling",
        value=value,
    )


def _unnamed(name: str, message: str, value: Any) -> Refusal:
    """The same where vLLM forgets to say which parameter it was."""
    return Refusal(status=400, message=message, param=name, shape="unnamed", value=value)
