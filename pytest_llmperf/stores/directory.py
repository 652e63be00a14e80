"""Baselines as files that can be reviewed and committed.

``ROOT/<scenario>/<environment>/<run>.json``: one directory per scenario and environment, one file per
run, so that two branches which both add a run merge without a conflict. A file is a header that a
person can read, then the raw samples, one series a line.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_llmperf.core.baseline import MUST_MATCH, History, StoredRun
from pytest_llmperf.core.column import Column
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.measurement import Count
from pytest_llmperf.core.server_plain import from_plain, to_plain

SCHEMA = 1

#: Runs kept of one scenario in one environment, the anchor not counted.
KEPT = 10

#: Significant digits of a stored sample: far below any noise, and small files.
_DIGITS = 5


class DirectoryStore:
    """The baselines under one directory, which need not exist yet."""

    def __init__(self, root: Path, *, must_match: tuple[str, ...] = MUST_MATCH) -> None:
        self.root = root
        self.must_match = must_match

    def history(self, scenario: str) -> History:
        """Everything stored about *scenario*; a file that cannot be trusted is its ``problem``."""
        try:
            environments = self._environments(scenario)
            empty = next((environment for environment, files in environments.items() if not files), None)
            if empty is not None:
                raise LlmPerfUsageError(f"{empty} holds no run. Restore its file, or delete the directory.")  # noqa: TRY301 - told as the others are
            runs = [_read(path, scenario) for files in environments.values() for path in files]
        except LlmPerfUsageError as error:
            return History(problem=str(error), must_match=self.must_match)
        runs.sort(key=lambda run: run.saved)
        return History(runs=tuple(runs), must_match=self.must_match)

    def groups(self) -> list[tuple[StoredRun, ...]]:
        """Every scenario's runs of each environment, those that can be read, oldest first."""
        return [tuple(run for _, run in files) for files in self._readable()]

    def problems(self) -> list[str]:
        """What is wrong with each file that cannot be trusted."""
        found = []
        for path in sorted(self.root.glob("*/*/*.json")):
            try:
                _read(path)
            except LlmPerfUsageError as error:
                found.append(str(error))
        return found

    def prune(self, keep: int, part: str = "") -> list[Path]:
        """Remove all but the newest *keep* runs, and the anchor, of scenarios with *part* in their name.

        Returns what was removed.
        """
        removed = []
        for files in self._readable():
            ordinary = [path for path, run in files if not run.anchor and part in run.scenario]
            for path in ordinary[: max(0, len(ordinary) - keep)]:
                path.unlink()
                removed.append(path)
        return removed

    def _readable(self) -> list[list[tuple[Path, StoredRun]]]:
        """The readable files of each scenario and environment, oldest first."""
        found: dict[Path, list[tuple[Path, StoredRun]]] = {}
        for path in sorted(self.root.glob("*/*/*.json")):
            with suppress(LlmPerfUsageError):  # its own scenario fails of it
                run = _read(path)
                found.setdefault(path.parent, []).append((path, run))
        return [sorted(files, key=lambda file: file[1].saved) for files in found.values()]

    def save(self, run: StoredRun, *, append: bool) -> Path:
        """Store *run*, as one more or (*append* false) instead of the runs of its environment.

        Written to a temporary file, synced and renamed, so that a half-written baseline never
        exists; earlier files go only after that. Raises LlmPerfUsageError when a file is there that
        cannot be trusted, since it would be lost.
        """
        for files in self._environments(run.scenario).values():
            for path in files:
                _read(path, run.scenario)
        directory = self._directory(run.scenario) / _environment(run.facts, self.must_match)
        earlier = sorted(directory.glob("*.json"))
        # The first run is one, too, or those that are only ever appended could creep.
        run = replace(run, anchor=not append or not earlier)
        stamp = re.sub(r"[^0-9]", "", run.saved)[:14]
        path = directory / f"{stamp}-{secrets.token_hex(3)}.json"
        _write(path, _text(run), root=self.root)
        for old in self._obsolete(earlier, run.scenario, append=append):
            old.unlink()
        return path

    def _obsolete(self, earlier: list[Path], scenario: str, *, append: bool) -> list[Path]:
        if not append:
            return earlier
        ordinary = [path for path in earlier if not _read(path, scenario).anchor]
        return ordinary[: max(0, len(ordinary) + 1 - KEPT)]

    def _directory(self, scenario: str) -> Path:
        return self.root / f"{_slug(scenario)}-{_digest(scenario)}"

    def _environments(self, scenario: str) -> dict[Path, list[Path]]:
        """The files of each environment; other things that lie about are none of ours."""
        directory = self._directory(scenario)
        found = sorted(path for path in directory.iterdir() if path.is_dir()) if directory.exists() else []
        return {environment: sorted(environment.glob("*.json")) for environment in found}


_MEND = "Restore it from version control, or delete it and run pytest --save-baseline."


def _slug(text: str) -> str:
    """The end of a node id, or a fact, as part of a path; the digest beside it makes it unique."""
    path, separator, test = text.partition("::")
    return re.sub(r"[^0-9A-Za-z]+", "-", path.rpartition("/")[2] + separator + test).strip("-")[:60] or "any"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _environment(facts: Mapping[str, str], names: tuple[str, ...]) -> str:
    matched = [f"{name}={facts[name]}" for name in names if name in facts]
    first = " ".join(facts[name] for name in names[:2] if name in facts)  # the name is for people: kept short
    return f"{_slug(first)}-{_digest('|'.join(matched))}"


def _text(run: StoredRun) -> str:
    """The file's text: header first, then one line per series, then the checksum of all before it."""
    header = {
        "llmperf_baseline": SCHEMA,
        "scenario": run.scenario,
        "saved": run.saved,
        "commit": run.commit,
        "branch": run.branch,
        "anchor": run.anchor,
        "facts": dict(sorted(run.facts.items())),
        "proportions": {
            name: [count.successes, count.trials] for name, count in sorted(run.proportions.items())
        },
        "server": to_plain(run.server),
    }
    lines = [
        f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in header.items()
    ]
    series = [f"  {json.dumps(name)}: {_numbers(values)}" for name, values in sorted(run.series.items())]
    body = ",\n".join(lines) + ',\n "series": {\n' + ",\n".join(series) + "\n }"
    return f'{{\n{body},\n "sha256": "{_checksum(body)}"\n}}\n'


def _numbers(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:.{_DIGITS}g}' for value in values)}]"


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _read(path: Path, scenario: str | None = None) -> StoredRun:
    """The run in *path*, which must be of *scenario* unless that is None.

    Raises LlmPerfUsageError that names the file.
    """
    try:
        text = path.read_text("utf-8")
        content: Any = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise LlmPerfUsageError(f"{path} cannot be read as a baseline ({error}). {_MEND}") from None
    schema = content.get("llmperf_baseline") if isinstance(content, dict) else None
    if not isinstance(schema, int) or schema < 1:
        raise LlmPerfUsageError(f"{path} is not a baseline of pytest-llmperf. {_MEND}")
    if schema > SCHEMA:
        raise LlmPerfUsageError(
            f"{path} has schema {schema}, and this version reads up to {SCHEMA}. Upgrade pytest-llmperf, "
            "or delete the file and run pytest --save-baseline."
        )
    body = text[2 : text.rfind(',\n "sha256"')]
    if content.get("sha256") != _checksum(body):
        raise LlmPerfUsageError(f"{path} was changed after it was saved: its checksum is wrong. {_MEND}")
    if scenario is not None and content["scenario"] != scenario:
        raise LlmPerfUsageError(
            f"{path} holds scenario {content['scenario']!r}, expected {scenario!r}. {_MEND}"
        )
    return StoredRun(
        scenario=content["scenario"],
        saved=content["saved"],
        commit=content["commit"],
        branch=content["branch"],
        anchor=content["anchor"],
        facts=content["facts"],
        series={name: Column(values) for name, values in content["series"].items()},
        proportions={
            name: Count(successes=successes, trials=trials)
            for name, (successes, trials) in content["proportions"].items()
        },
        server=from_plain(content.get("server")),
    )


def _write(path: Path, text: str, *, root: Path) -> None:
    """Write through a temporary file in *root*, so that a crash leaves no directory without a run."""
    root.mkdir(parents=True, exist_ok=True)
    temporary = root / f".{path.stem}.tmp"
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
