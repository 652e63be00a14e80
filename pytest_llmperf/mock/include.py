"""Rules in files of their own: ``replies: FILE``, or ``{include: FILE}`` among other rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock._fields import Fields


def expand(
    entries: Any, *, where: str, folder: Path | None, within: tuple[Path, ...] = ()
) -> Iterator[tuple[Any, str]]:
    """The rules of *entries*, those of included files in their place, each with its path for errors.

    *entries* is a list of rules or the name of a file that holds such a list, as YAML or JSON; names
    are relative to *folder* (the current one if None), in a file to that file. Raises
    LlmPerfUsageError for a file that cannot be read or that includes itself, and for a rule that only the
    test's own process can have.
    """
    if isinstance(entries, str):
        yield from _read(entries, where=where, folder=folder, within=within)
        return
    if not isinstance(entries, list):
        raise LlmPerfUsageError(f"{where}: expected a list of rules or the name of a file that holds one")
    for at, item in enumerate(entries):
        here = f"{where}[{at}]"
        if isinstance(item, dict) and "include" in item:
            name = Fields(item, where=here, allowed=("include",)).text("include")
            yield from _read(name or "", where=f"{here}.include", folder=folder, within=within)
        elif isinstance(item, dict) and "callback" in item:
            raise LlmPerfUsageError(f"{here}.callback: functions answer through llm_mock.reply(...) alone")
        else:
            yield item, here


def _read(
    name: str, *, where: str, folder: Path | None, within: tuple[Path, ...]
) -> Iterator[tuple[Any, str]]:
    import yaml  # noqa: PLC0415 - only where a file is included

    path = ((folder or Path.cwd()) / name).resolve()
    if path in within:
        raise LlmPerfUsageError(f"{where}: {name} includes itself")
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LlmPerfUsageError(f"{where}: cannot read {path}: {error}") from None
    if not isinstance(loaded, list):
        raise LlmPerfUsageError(f"{where}: {path} holds no list of rules")
    yield from expand(loaded, where=path.name, folder=path.parent, within=(*within, path))
