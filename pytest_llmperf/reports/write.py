"""Reports on disk: ``--llm-report [FORMAT=]PATH``."""

from __future__ import annotations

import os
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.metric import nearest
from pytest_llmperf.core.run import Run

#: Every format and what renders it: a function from a Run to text, or to pieces of a text that may be long.
REPORTS = {
    "json": "pytest_llmperf.reports.json:pieces",
    "markdown": "pytest_llmperf.reports.markdown:render",
    "html": "pytest_llmperf.reports.html:render",
    "cache-savings": "pytest_llmperf.reports.cache_savings:render",
    "csv": "pytest_llmperf.reports.csv:render",
    "alerts": "pytest_llmperf.reports.alerts:render",
    "openmetrics": "pytest_llmperf.reports.openmetrics:render",
    "pytest-benchmark": "pytest_llmperf.reports.pytest_benchmark:render",
    "github-benchmark": "pytest_llmperf.reports.github_benchmark:render_smaller",
    "github-benchmark-bigger": "pytest_llmperf.reports.github_benchmark:render_bigger",
    "bencher": "pytest_llmperf.reports.bencher:render",
}

#: Formats that are logs: what a run adds goes to the end of the file.
APPENDED = frozenset({"alerts"})


#: The format of a path that names none.
SUFFIXES = {
    ".json": "json",
    ".md": "markdown",
    ".html": "html",
    ".csv": "csv",
    ".ndjson": "alerts",
    ".prom": "openmetrics",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    format: str
    path: str  #: as the user wrote it


def check(targets: Sequence[str]) -> None:
    """Raise LlmPerfUsageError when one of *targets* names no known format, or two name one file."""
    parsed = [_parse(target) for target in targets]
    for index, target in enumerate(parsed):
        if any(os.path.normpath(target.path) == os.path.normpath(other.path) for other in parsed[:index]):
            raise LlmPerfUsageError(
                f"--llm-report {target.path}: named twice; give every report its own file"
            )


def write(run: Run, targets: Sequence[str], *, directory: Path) -> list[str]:
    """Write *run* to every one of *targets* and say so, one line each.

    A target is ``FORMAT=PATH`` or ``PATH`` with a known suffix, from *directory*; folders are made.
    A file is replaced in one step, so that no reader sees half of it. Raises LlmPerfUsageError for
    what `check` finds and, after every other target was written, for what could not be.
    """
    check(targets)
    lines, problems = [], []
    for target in map(_parse, targets):
        render: Callable[[Run], str | Iterable[str]] = pkgutil.resolve_name(REPORTS[target.format])
        try:
            put = append if target.format in APPENDED else replace
            put(directory / target.path, render(run))
        except OSError as error:
            problems.append(f"--llm-report {target.path} was not written: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001 - a bug in one report must not cost the verdict or the others
            problems.append(
                f"--llm-report {target.path} was not written, which is a bug of the {target.format} report: "
                f"{type(error).__name__}: {error}"
            )
        else:
            lines.append(f"report written: {target.path}")
    if problems:
        raise LlmPerfUsageError("; ".join(problems))
    return lines


def replace(path: Path, text: str | Iterable[str]) -> None:
    """Make *text*, or its pieces, the content of *path* in one step; a device is written to as it is."""
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            file.writelines(_encoded(text))
        return
    path = path.resolve()  # a link stays a link: what it points to is replaced
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(_encoded(text))
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def append(path: Path, text: str | Iterable[str]) -> None:
    """Add the lines of *text* to the file at *path*, in one write: several writers never mix lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b"".join(_encoded(text))
    # Python's own files may split what they write; the kernel appends one write as a whole.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)


def _encoded(text: str | Iterable[str]) -> Iterator[bytes]:
    for piece in (text,) if isinstance(text, str) else text:
        yield piece.encode("utf-8", "backslashreplace")


def _parse(target: str) -> _Target:
    if match := re.match(r"([a-z][a-z0-9-]*)=(.+)", target, re.DOTALL):
        name, path = match.groups()
        if name not in REPORTS:
            raise LlmPerfUsageError(
                f"--llm-report {target}: {name} is not a report format{nearest(name, tuple(REPORTS))} "
                f"Known: {', '.join(REPORTS)}"
            )
        return _Target(format=name, path=path)
    suffix = Path(target).suffix.lower()
    if suffix not in SUFFIXES:
        raise LlmPerfUsageError(f"--llm-report {target}: {_hint(suffix)}; {_known()}")
    return _Target(format=SUFFIXES[suffix], path=target)


def _hint(suffix: str) -> str:
    if suffix == ".xml":
        return "JUnit XML is pytest's own --junitxml=PATH"
    return f"the suffix {suffix} names no report format" if suffix else "no suffix names the report's format"


def _known() -> str:
    by_name = [name for name in REPORTS if name not in SUFFIXES.values()]
    also = f", or FORMAT=PATH with one of {', '.join((*SUFFIXES.values(), *by_name))}"
    return f"known are {', '.join(SUFFIXES)}{also}"
