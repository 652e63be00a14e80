from __future__ import annotations

import pytest

from pytest_llmperf.child_process.last_words import last_words

OUTPUT = """
    def test_it():
>       assert 1 == 2
E       assert 1 == 2

test_it.py:2: AssertionError
"""

USAGE = """ERROR: usage: pytest [options] [file_or_dir] [file_or_dir] [...]
pytest: error: unrecognized arguments: --llm-gate=off
  inifile: None
"""


@pytest.mark.parametrize(
    ("output", "status", "words"),
    [
        (OUTPUT, 1, "assert 1 == 2"),
        (f"{OUTPUT}ERROR: slo.yaml:2  is not YAML\n\n", 4, "ERROR: slo.yaml:2  is not YAML"),
        (f"{USAGE}  rootdir: /project\n", 4, "pytest: error: unrecognized arguments: --llm-gate=off"),
        (f"{OUTPUT}ERROR: found no collectors for test_it.py::test_it\n", 4, "assert 1 == 2"),
        ("ERROR: not found: test_it.py::test_it\n", 4, "ERROR: not found: test_it.py::test_it"),
        ("collected 1 item\nbye\n", 3, "bye"),
        ("==== no tests ran in 1.66s ====\n", 2, "no tests ran in 1.66s"),
        (" \n", 3, "it ended with 3 and without a word"),
        ("", None, "it ended without a word"),
        ("bye\n", -15, "signal 15 (Terminated) ended it"),
        ("", -9, "signal 9 (Killed) ended it, as a system does that runs out of memory"),
        ("ERROR " + "x" * 999, -9, "ERROR " + "x" * 294),
    ],
)
def test_the_last_line_that_tells_why_is_taken(output, status, words):
    assert last_words(output, status=status) == words
