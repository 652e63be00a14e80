"""The servers that the scenarios of one set-up ask, and what stands between them and the tests."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pytest_llmperf.ab.arms import GIT, Arm, label_of
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.options import Options
from pytest_llmperf.rig.backends import connect, entry_of
from pytest_llmperf.rig.companions import Companions
from pytest_llmperf.slo_yaml.file import BackendEntry, SloFile

if TYPE_CHECKING:
    from pytest_llmperf.core.server_view import Counters
    from pytest_llmperf.probes.sampler import Sampler
    from pytest_llmperf.probes.server_metrics import ServerMetrics
    from pytest_llmperf.relay.process import RelayProcess
    from pytest_llmperf.tokens import TokenCounter


class Servers:
    """The selected backend's server, and the one it is compared with under ``--llm-ab``."""

    def __init__(self, options: Options, slo_file: SloFile, *, root: Path, companions: Companions) -> None:
        self._options = options
        self._slo_file = slo_file
        self._root = root
        self._companions = companions
        self._unreachable: str | None = None
        self._metrics: dict[str, ServerMetrics] = {}  #: of each arm's server

    @cached_property
    def entry(self) -> BackendEntry:
        """What is known of the selected backend, with what the command line says of it.

        Raises LlmPerfUsageError for a name that nobody knows.
        """
        entry = entry_of(self._options.backend, self._slo_file, option="--llm-backend")
        return replace(entry, url=self._options.url or entry.url, model=self._options.model or entry.model)

    @property
    def are_mocked(self) -> bool:
        """Whether requests go to the plugin's own mock server."""
        return self.entry.kind == "mock" and self.entry.url is None

    @cached_property
    def backend(self) -> Backend:
        """The selected backend, reachable and with its model known.

        Raises LlmPerfUsageError in one line when no server answers within 5 s; asked once.
        """
        if self._unreachable is not None:
            raise LlmPerfUsageError(self._unreachable)
        try:
            return self._selected()
        except LlmPerfUsageError as error:
            self._unreachable = str(error)
            raise

    def connect(self) -> None:
        """Make sure that every server answers. Raises LlmPerfUsageError in one line when one does not."""
        _ = self.arms

    @cached_property
    def arms(self) -> dict[Arm, Backend]:
        """The server of each arm; there is a base only under ``--llm-ab`` with a backend or URL.

        Raises LlmPerfUsageError as `backend` does.
        """
        arms = {Arm.CANDIDATE: self.backend}
        base = self._options.ab
        if base is not None and not base.startswith(GIT):
            arms[Arm.BASE] = self._base(base)
        return arms

    def _selected(self) -> Backend:
        name, entry = self._options.backend, self.entry
        if self.are_mocked:
            entry = replace(entry, url=self._companions.mock_url)
        given = self._slo_file.backends.get(name)
        own_key = given is not None and given.api_key_env is not None
        return connect(name, entry, own_key=own_key, mock_speaks=self._mock_speaks)

    def _base(self, name: str) -> Backend:
        if "://" in name:
            # Another server of the same kind, so that only the server differs.
            entry = replace(self.entry, url=name, model=self._options.model)
            return connect(label_of(name), entry, own_key=False, mock_speaks=self._mock_speaks)
        entry = entry_of(name, self._slo_file, option="--llm-ab")
        if entry.kind == "mock" and entry.url is None:
            entry = replace(entry, url=self._companions.mock_url)
        entry = replace(entry, model=self._options.model or entry.model)
        return connect(name, entry, own_key=False, mock_speaks=self._mock_speaks)

    @property
    def _mock_speaks(self) -> Literal["openai", "ollama"]:
        """A mock that plays Ollama is asked as Ollama is: by its own API."""
        return "ollama" if self._slo_file.mock.get("dialect") == "ollama" else "openai"

    @property
    def facts(self) -> dict[str, str]:
        """The conditions of measuring here, see `core.baseline`; streaming is found by measuring."""
        known = {
            "hardware": self.backend.hardware,
            "model": self.backend.model,
            "server": self.backend.server,
        }
        return {
            "backend kind": str(self.entry.kind),
            "load profile": "closed, one at a time",
            "cache mode": "as-is",
            **{name: value for name, value in known.items() if value},
        }

    def scrape(self, arm: str) -> Counters | None:
        """What an arm's server has counted; one that told nothing once is not asked again."""
        return self._metrics_of(arm).counters()

    def _metrics_of(self, arm: str) -> ServerMetrics:
        from pytest_llmperf.probes.server_metrics import ServerMetrics  # noqa: PLC0415 - only when it is used

        if arm not in self._metrics:
            self._metrics[arm] = ServerMetrics(self.arms[Arm(arm)])
        return self._metrics[arm]

    def sampler(self, *, asks_backend: bool, alone: bool = False) -> Sampler:
        """A sampler of what the server and this machine use, for one scenario; *alone*: only this process."""
        from pytest_llmperf.probes.resources import Subject, sampler_of  # noqa: PLC0415 - psutil, when used

        ours = self.are_mocked and asks_backend and not alone and self.entry.process is None
        subject = Subject(
            backend=self._options.backend,
            url=self.backend.url if asks_backend else "",
            process=self.entry.process,
            folder=self._options.slo_path(self._root).parent,
            mock_pid=self._companions.mock.pid if ours else None,
            metrics=self._metrics_of(Arm.CANDIDATE) if asks_backend and not alone else None,
            alone=alone,
            interleaved=self._options.ab is not None,
        )
        return sampler_of(subject)

    @cached_property
    def client_key(self) -> str:
        """What clients of users send as their key."""
        from pytest_llmperf.llm_client import new_key  # noqa: PLC0415 - only when it is used

        return new_key()

    @cached_property
    def relay(self) -> RelayProcess:
        """The recording relay, started by the first call. Raises LlmPerfUsageError."""
        from pytest_llmperf.llm_client import upstream_of  # noqa: PLC0415 - only when it is used
        from pytest_llmperf.relay.process import RelayProcess  # noqa: PLC0415 - only when it is used

        upstreams = {str(arm): upstream_of(backend) for arm, backend in self.arms.items()}
        return RelayProcess(upstreams, first=str(Arm.CANDIDATE), placeholder=self.client_key)

    @cached_property
    def counter(self) -> TokenCounter:
        """Counts what a server's usage leaves out. Raises LlmPerfUsageError for a bad tokenizer.json."""
        from pytest_llmperf.tokens import TokenCounter  # noqa: PLC0415 - only when it is used

        name, folder = self.entry.tokenizer, self._options.slo_path(self._root).parent
        return TokenCounter(self.backend, tokenizer=None if name is None else folder / name)

    def close(self) -> None:
        """Stop what was started."""
        if "counter" in vars(self):
            self.counter.close()
        if "relay" in vars(self):
            self.relay.stop()
