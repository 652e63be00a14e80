"""What ended a test in another process: in words on the way, and raised again here."""

from __future__ import annotations

import traceback
import unittest

import pytest

from pytest_llmperf.child_process.parent import ChildGoneError

#: What says enough by its words. The order matters: an xfail is a kind of fail.
_KINDS: dict[str, type[BaseException]] = {
    "xfail": pytest.xfail.Exception,
    "skip": pytest.skip.Exception,
    "exit": pytest.exit.Exception,
    "fail": pytest.fail.Exception,
}

_MOST = 4000  #: characters that are kept of a traceback: its end


def in_words(error: BaseException) -> tuple[str, str]:
    """Its kind and its words; an error of no kind has its traceback, and is a ``fail``."""
    if isinstance(error, unittest.SkipTest):
        return "skip", str(error)
    if isinstance(error, ChildGoneError):
        return "fail", str(error)
    for kind, ending in _KINDS.items():
        if isinstance(error, ending):
            return kind, str(error)
    return "fail", traceback_of(error)


def of_words(kind: str, words: str) -> BaseException:
    """What `in_words` told of, to be raised here."""
    if kind == "fail":
        return pytest.fail.Exception(words, pytrace=False)
    return _KINDS[kind](words)


def traceback_of(error: BaseException) -> str:
    """What *error* says, and where, unless that is not wanted."""
    if isinstance(error, pytest.fail.Exception) and not error.pytrace:
        return str(error)
    says = "".join(traceback.format_exception_only(error)).strip()
    return f"{says[:_MOST]}\n\n{''.join(traceback.format_exception(error))[-_MOST:]}"
