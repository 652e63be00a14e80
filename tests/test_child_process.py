from __future__ import annotations

import pytest

from pytest_llmperf.child_process import parent
from pytest_llmperf.core.errors import LlmPerfUsageError


def start(program, monkeypatch, order=None):
    monkeypatch.setattr(parent, "_PROGRAM", program)
    return parent.start("module", order or {}, what="the helper")


def test_what_a_child_writes_before_it_ends_is_the_reason(monkeypatch):
    with pytest.raises(LlmPerfUsageError, match=r"the helper did not start: out of luck"):
        start("raise SystemExit('out of luck')", monkeypatch)


def test_an_error_that_a_child_says_is_the_reason(monkeypatch):
    with pytest.raises(LlmPerfUsageError, match=r"the helper did not start: port 80 is taken"):
        start("""print('{"error": "port 80 is taken"}', flush=True); input()""", monkeypatch)


@pytest.mark.skipif("sys.platform == 'win32'", reason="select takes no pipes there")
def test_a_child_that_says_nothing_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(parent, "_START_S", 0.1)
    with pytest.raises(LlmPerfUsageError, match=r"the helper did not start: no reason was given"):
        start("import time; time.sleep(60)", monkeypatch)


def test_a_child_is_given_its_order_and_ends_with_its_input(monkeypatch):
    program = "print(input(), flush=True); input()"
    child = start(program, monkeypatch, {"port": 1})
    assert child.said == {"port": 1}
    child.stop()
    assert child._process.returncode == 1  # the end of its input, not a signal


def test_a_child_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(parent, "_STOP_S", 0.1)
    child = start("print(input(), flush=True); import time; time.sleep(60)", monkeypatch)
    child.stop()
    assert child._process.returncode != 0


DYING = """import sys
print(input(), flush=True)
sys.exit('x' * 99999 + '\\nRuntimeError: \\x1b[31mkey-12345 is wrong')"""


def test_a_child_that_ended_leaves_its_last_words(monkeypatch):
    child = start(DYING, monkeypatch)
    told = child.last_words(hide=lambda text: text.replace("key-12345", "***"))
    assert told == r"RuntimeError: \x1b[31m*** is wrong"
    assert not child.runs
    child.stop()
