"""What is stored about scenarios, as far as a session has a use for it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest_llmperf.core.baseline import History
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.options import GateMode, Options
from pytest_llmperf.stores.directory import DirectoryStore


class Baselines:
    """The store of a session; the same for every set-up."""

    def __init__(self, options: Options, root: Path, *, must_match: tuple[str, ...]) -> None:
        self._options = options
        self._root = root
        self._must_match = must_match
        self._fetched: TemporaryDirectory[str] | None = None  #: baselines of a URL

    def check(self) -> None:
        """Raise LlmPerfUsageError where ``--llm-baseline`` names a directory that is not there."""
        directory = self._options.baseline
        if directory is not None and not directory.exists() and not self._options.saves:
            raise LlmPerfUsageError(
                f"--llm-baseline: {directory} does not exist; expected a directory, and "
                "pytest --save-baseline makes it."
            )

    @cached_property
    def store(self) -> DirectoryStore:
        """Where the baselines are. Raises LlmPerfUsageError where a URL has none."""
        root = self._options.baseline or self._root / ".llmperf" / "baselines"
        if self._options.baseline_url is not None and self.are_compared:
            from pytest_llmperf.stores.archive import fetch  # noqa: PLC0415 - only when it is used

            self._fetched = TemporaryDirectory(prefix="llmperf-baselines-")
            root = Path(self._fetched.name)
            fetch(self._options.baseline_url, root)
        return DirectoryStore(root, must_match=self._must_match)

    @property
    def are_compared(self) -> bool:
        """Whether there is a use for stored runs: not in a session that saves, or compares otherwise."""
        options = self._options
        return not (options.saves or options.quick or options.ab or options.gate is GateMode.OFF)

    def history(self, scenario: str) -> History:
        """What is stored about *scenario*; nothing where there is no use for it."""
        return self.store.history(scenario) if self.are_compared else History()

    @cached_property
    def run_effect(self) -> float | None:
        """Run-to-run noise pooled over all that is stored; None when no scenario has three runs.

        A single scenario's own noise, from a handful of runs, is too noisy to trust.
        """
        if not self.are_compared:
            return None
        from pytest_llmperf.core import gate  # noqa: PLC0415 - numpy, for a session that measures

        series = [
            [run.series["latency_s"] for run in runs if "latency_s" in run.series]
            for runs in self.store.groups()
        ]
        return gate.run_effect([runs for runs in series if len(runs) > 1], quantile=0.95)

    def close(self) -> None:
        """Remove what was fetched."""
        if self._fetched is not None:
            self._fetched.cleanup()
