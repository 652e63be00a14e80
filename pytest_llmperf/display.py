"""What is written on pytest's terminal: progress while a scenario runs, and the section at the end."""

from __future__ import annotations

import time
from contextlib import nullcontext

import pytest

from pytest_llmperf.core.duration import show_duration
from pytest_llmperf.core.outcome import BROKEN
from pytest_llmperf.core.run import Run
from pytest_llmperf.reports import histogram, terminal

#: Seconds between two updates of the progress line, and before the first.
_EVERY_S = 0.5

_SAVE_CURSOR, _RESTORE_CURSOR, _CLEAR_TO_END = "\x1b7", "\x1b8", "\x1b[K"


def show(reporter: pytest.TerminalReporter, run: Run, *, histograms: bool) -> None:
    """Write the section ``llm performance``, with a histogram of every scenario when asked for."""
    reporter.ensure_newline()  # else it would follow the first line that is written
    if reporter.verbosity >= 0:
        bad = run.outcome in BROKEN
        reporter.section("llm performance", red=bad, bold=bad)
    width = reporter.config.get_terminal_writer().fullwidth
    for line in terminal.render(run, width=width, verbosity=reporter.verbosity):
        for text, markup in line:
            reporter.write(text, **markup)
        reporter.write_line("")
    drawn = histogram.render(run, width=width) if histograms else []
    if drawn:
        reporter.write_line("")
        reporter.write_line("how the latencies are spread", bold=True)
    for text in drawn:
        reporter.write_line(text)


class Progress:
    """How far the running scenario is, behind pytest's own line and gone when the scenario ends."""

    def __init__(self, reporter: pytest.TerminalReporter, name: str) -> None:
        self._reporter = reporter
        self._name = name
        self._started_s = self._shown_s = time.monotonic()

    def update(self, done: int, size: int) -> None:
        """Show *done* of *size* iterations, at most every half second."""
        now_s = time.monotonic()
        if now_s - self._shown_s < _EVERY_S or not done:
            return
        self._shown_s = now_s
        rate = done / (now_s - self._started_s)
        self._write(f" {self._name} {done}/{size}, {rate:.1f}/s, {show_duration((size - done) / rate)} left")

    def show_load(self, done: int, *, passed_s: float, running: int, left_s: float | None) -> None:
        """Show a load run: iterations that ended, those under way, and the time that is left."""
        now_s = time.monotonic()
        if now_s - self._shown_s < _EVERY_S:
            return
        self._shown_s = now_s
        left = "" if left_s is None else f", {show_duration(left_s)} left"
        self._write(f" {self._name} {done} done, {done / passed_s:.1f}/s, {running} running{left}")

    def clear(self) -> None:
        """Take the line away, if it was ever there."""
        if self._shown_s > self._started_s:
            self._write("")

    def _write(self, text: str) -> None:
        writer = self._reporter.config.get_terminal_writer()
        room = max(0, writer.fullwidth - writer.width_of_current_line - 1)
        capture = self._reporter.config.pluginmanager.getplugin("capturemanager")
        # pytest captures at the file descriptor, to which its own writer writes too.
        with nullcontext() if capture is None else capture.global_and_fixture_disabled():
            writer.write(f"{_SAVE_CURSOR}{_CLEAR_TO_END}{text[:room]}{_RESTORE_CURSOR}", flush=True)


def progress_of(config: pytest.Config, name: str) -> Progress | None:
    """The progress of a scenario; None where nobody watches."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None or not reporter.isatty or reporter.verbosity < 0:
        return None
    return Progress(reporter, name)
