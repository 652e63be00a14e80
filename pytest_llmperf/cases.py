"""The cases of ``@llm_slo(cases=...)`` and the order in which iterations get them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import yaml

from pytest_llmperf.core.errors import LlmPerfUsageError


def load_cases(path: Path) -> tuple[Any, ...]:
    """The cases in a .yaml, .json, .jsonl or .csv file (a dict per row).

    Raises LlmPerfUsageError that names the file and what was expected.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise LlmPerfUsageError(f"{path}: cases are read from {', '.join(_READERS)} files.")
    try:
        cases = read(path)
    except (OSError, ValueError, yaml.YAMLError, csv.Error) as error:
        raise LlmPerfUsageError(f"{path}: cases cannot be read: {error}") from None
    if not isinstance(cases, list) or not cases:
        raise LlmPerfUsageError(f"{path}: expected a list with at least one case.")
    return tuple(cases)


def shuffled(cases: Sequence[Any], *, seed: int, scenario: str) -> Iterator[Any]:
    """Every case once in random order, then again in another, without end.

    The same seed and scenario give the same order, so that two runs meet the same prompts.
    """
    rng = Random(f"{seed} {scenario}")  # noqa: S311 - an order, no secret
    while True:
        yield from rng.sample(cases, len(cases))


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8-sig"))


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8-sig"))


def _jsonl(path: Path) -> Any:
    # Not splitlines(): a JSON text may hold U+2028 and other line ends of Unicode.
    lines = path.read_text("utf-8-sig").split("\n")
    return [_json_line(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _json_line(number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None


def _csv(path: Path) -> Any:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        return [_complete(rows.line_num, row) for row in rows]


def _complete(line: int, row: dict[Any, Any]) -> dict[Any, Any]:
    """*row* unless it has more or fewer fields than the header."""
    if None in row or None in row.values():
        raise ValueError(f"line {line}: not as many fields as the header has")
    return row


_READERS = {".yaml": _yaml, ".yml": _yaml, ".json": _json, ".jsonl": _jsonl, ".csv": _csv}
