"""``empirical(FILE)``: durations measured before, from a CSV or from an earlier run.json."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError

_CALL = re.compile(r"\s*empirical\s*\(\s*([^,()]+?)\s*(?:,\s*([^,()]+?)\s*)?\)\s*")
_SCALE = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def resolve_empirical(spec: Any, *, where: str, folder: Path | None) -> Any:
    """*spec* with the file of ``empirical(FILE)`` or ``empirical(FILE, COLUMN)`` read into it.

    Anything else comes back unchanged. A CSV gives the named column, or its only one; the
    column's name ends in ``_s``, ``_ms``, ``_us`` or ``_ns``. A run.json gives the series of that
    name (``ttft_s`` for ttft), of all its scenarios.
    """
    call = _CALL.fullmatch(spec) if isinstance(spec, str) else None
    if call is None:
        return spec
    path = (folder or Path.cwd()) / call[1].strip("'\"")
    name = call[2] or {"ttft": "ttft_s", "itl": "itl_s"}.get(where.rpartition(".")[2])
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LlmPerfUsageError(f"{where}: cannot read {path}: {error}") from None
    read = _from_run if path.suffix == ".json" else _from_csv
    return {"empirical_s": read(text, name, where=f"{where}: {path}"), "text": spec}


def _from_run(text: str, name: str | None, *, where: str) -> list[float]:
    try:
        scenarios = json.loads(text)["scenarios"]
        series = [scenario["series"].get(name) or [] for scenario in scenarios]
        values = [float(value) for one in series for value in one if value is not None]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise LlmPerfUsageError(f"{where} is not a run report (--llm-report run.json)") from None
    if not values:
        raise LlmPerfUsageError(f"{where} holds no series {name!r}")
    return values


def _from_csv(text: str, name: str | None, *, where: str) -> list[float]:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    if not rows:
        raise LlmPerfUsageError(f"{where} is empty")
    header = [cell.strip() for cell in rows[0]]
    if name in header:
        column = header.index(name)
    elif len(header) == 1:
        column = 0
    else:
        raise LlmPerfUsageError(f"{where} has no column {name!r}; it has {', '.join(header)}")
    unit = header[column].rpartition("_")[2]
    if unit not in _SCALE:
        raise LlmPerfUsageError(
            f"{where}: the column's name must end in _s, _ms, _us or _ns, not {header[column]!r}"
        )
    try:
        return [float(row[column]) * _SCALE[unit] for row in rows[1:]]
    except (ValueError, IndexError):
        raise LlmPerfUsageError(
            f"{where}: column {header[column]!r} holds something that is not a number"
        ) from None
