"""``llmperf``: the same functions as in pytest, from the command line. One file per command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType

from pytest_llmperf.cli import baseline, compare, github, init, listed, record, report, suggest_slo, why
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.metric import nearest
from pytest_llmperf.mock.__main__ import main as serve_mock
from pytest_llmperf.reports.write import SUFFIXES
from pytest_llmperf.version import VERSION

#: Every command's module: its docstring is its help, ``declare(parser)`` its options and what runs it.
COMMANDS: dict[str, ModuleType] = {
    "compare": compare,
    "report": report,
    "why": why,
    "suggest-slo": suggest_slo,
    "baseline": baseline,
    "list": listed,
    "init": init,
    "github": github,
    "record": record,
}

#: As a shell tells of a command that the closed pipe itself ended.
_PIPE_CLOSED = 128 + 13

_MOCK = "serve the mock model server; mock --help shows its options"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 for a verdict that fails, 2 for what cannot be used."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["mock"]:
        return serve_mock(words[1:])  # which has options of its own
    if words[:1] == ["list"] and not {"-h", "--help"} & set(words):
        words.insert(1, "--")  # the rest is pytest's
    parser = _parser()
    try:
        _known(words, parser)
        parsed, left = parser.parse_known_args(words)
        _nothing_left(words[0], left)
        command: Callable[[argparse.Namespace], int] = parsed.command
        status = command(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads us has seen enough, as `head` does; Python would complain when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except (LlmPerfUsageError, OSError) as error:
        sys.stderr.write(f"llmperf: {error}\n")
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llmperf", description="Performance regression gating of LLM systems."
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        text = (module.__doc__ or "").partition("\n")[0].partition(": ")[2].rstrip(".")
        module.declare(commands.add_parser(name, help=text))
    commands.add_parser("mock", help=_MOCK)
    return parser


def _known(words: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Raise LlmPerfUsageError for a command that does not exist, with the one that was probably meant."""
    spoken = parser.prog
    for word in words:
        names = _commands(parser)
        if word.startswith("-") or not names:
            return
        if word not in names:
            raise LlmPerfUsageError(
                f"{word!r} is not a command of {spoken}{nearest(word, names)} Known: {', '.join(names)}"
            )
        parser, spoken = names[word], f"{spoken} {word}"


def _nothing_left(command: str, words: Sequence[str]) -> None:
    """Raise LlmPerfUsageError for *words* that the command does not know."""
    if words:
        told = (
            f"{' '.join(words)}: not known to llmperf {command}, whose words llmperf {command} --help lists."
        )
        files = [word for word in words if Path(word).suffix in SUFFIXES]
        raise LlmPerfUsageError(f"{told} A report's own name: --report {files[0]}" if files else told)


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups: Iterable[argparse.Action] = parser._actions  # noqa: SLF001 - argparse has no other list of them
    choices = [group.choices for group in groups if isinstance(group, argparse._SubParsersAction)]  # noqa: SLF001
    return dict(choices[0]) if choices else {}
