"""The rig: what all scenarios of one process share, set up when the first of them needs it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from pytest_llmperf.ab.arms import GIT, Arm, label_of
from pytest_llmperf.backends import connect, entry_of
from pytest_llmperf.cases import load_cases, shuffled
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.baseline import History
from pytest_llmperf.core.budget import Budget
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.load import Load
from pytest_llmperf.core.metric import nearest
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.terms import Rule, Terms
from pytest_llmperf.options import GateMode, Options
from pytest_llmperf.promised import promised, strangers
from pytest_llmperf.slo_file import BackendEntry, Role, SloFile, load
from pytest_llmperf.stores.directory import DirectoryStore
from pytest_llmperf.turns import turn

if TYPE_CHECKING:
    from pytest_llmperf.ab.revision import Revision
    from pytest_llmperf.core.server_view import Counters
    from pytest_llmperf.load.rhythm import Rhythm
    from pytest_llmperf.mock.config import MockConfig
    from pytest_llmperf.mock.process import MockServer
    from pytest_llmperf.probes.sampler import Sampler
    from pytest_llmperf.relay.process import RelayProcess
    from pytest_llmperf.shards.cluster import Cluster
    from pytest_llmperf.tokens import TokenCounter


@dataclass(kw_only=True)
class Rig:
    """The slo file, the backend, the mock server and the baselines of one process."""

    options: Options
    root: Path  #: pytest's root directory
    slo_file: SloFile
    turn_lock: Path | None = None  #: set under xdist, where scenarios take turns
    mock_url: str | None = None  #: of another process's mock server, which this one uses too
    started_s: float = field(default_factory=time.monotonic)
    _backend: Backend | None = None
    _mock: MockServer | None = None
    _revision: Revision | None = None
    _cluster: Cluster | None = None
    _fetched: TemporaryDirectory[str] | None = None  #: baselines of a URL
    _unreachable: str | None = None
    _main: Rig | None = None  #: set where this is the rig of one set-up of several
    _aimed: dict[str, Rig] = field(default_factory=dict)
    _silent: set[str] = field(default_factory=set)  #: arms whose server tells nothing on /metrics

    @classmethod
    def build(
        cls, options: Options, root: Path, *, turn_lock: Path | None = None, mock_url: str | None = None
    ) -> Rig:
        """A rig with slo.yaml read. Raises LlmPerfUsageError for a bad file or an unknown backend."""
        path = options.slo_file or root / "slo.yaml"
        if options.slo_file is not None and not path.exists():
            raise LlmPerfUsageError(f"--llm-slo-file: {path} does not exist.")
        slo_file = load(path, today=dt.datetime.now().astimezone().date()) if path.exists() else SloFile()
        rig = cls(options=options, root=root, slo_file=slo_file, turn_lock=turn_lock, mock_url=mock_url)
        _ = rig.entry  # an unknown name is an error now, not in the first scenario
        if options.baseline is not None and not options.baseline.exists() and not options.saves:
            raise LlmPerfUsageError(
                f"--llm-baseline: {options.baseline} does not exist; expected a directory, and "
                "pytest --save-baseline makes it."
            )
        return rig

    def aimed(self, setup: str) -> Rig:
        """The rig of the set-up with this label; the rig itself for "", where there is only one.

        They share the mock server and the other revision.
        """
        if not setup:
            return self
        if setup not in self._aimed:
            self._aimed[setup] = replace(
                self, options=self.options.of(setup), _main=self, _aimed={}, _silent=set()
            )
        return self._aimed[setup]

    @property
    def revision(self) -> Revision | None:
        """The base arm's process, under ``--llm-ab git:REV``."""
        return self._revision if self._main is None else self._main.revision

    @cached_property
    def entry(self) -> BackendEntry:
        """What is known of the selected backend, with what the command line says of it."""
        entry = entry_of(self.options.backend, self.slo_file, option="--llm-backend")
        return replace(entry, url=self.options.url or entry.url, model=self.options.model or entry.model)

    @property
    def uses_mock(self) -> bool:
        """Whether requests go to the plugin's own mock server."""
        return self.entry.kind == "mock" and self.entry.url is None

    def slo(
        self,
        node_id: str,
        marks: Sequence[tuple[Mapping[str, Any], str]],
        loads: Sequence[tuple[Mapping[str, Any], str]] = (),
    ) -> Slo:
        """What a test promises, see `promised.promised`. Raises LlmPerfUsageError."""
        return promised(node_id, marks, loads, file=self.slo_file, options=self.options, entry=self.entry)

    def strangers(self, scenarios: Collection[str]) -> list[str]:
        """See `promised.strangers`."""
        return strangers(scenarios, file=self.slo_file, options=self.options, entry=self.entry)

    def rhythm(self, load: Load, *, directory: Path) -> Rhythm:
        """What *load* comes to, with its files beside the test. Raises LlmPerfUsageError."""
        from pytest_llmperf.load.rhythm import Rhythm  # noqa: PLC0415 - only under a load profile

        return Rhythm.of(load, find=lambda name: self._beside(directory, name))

    def role(self, name: str | None) -> Role:
        """The role called *name*; an empty one for None. Raises LlmPerfUsageError when there is none.

        Its model is that of ``--llm-model``, else of the backend's ``models:``, else the role's own.
        """
        if name is None:
            return Role()
        if name not in self.slo_file.roles:
            raise LlmPerfUsageError(
                f"role {name!r} is not under roles: in slo.yaml{nearest(name, tuple(self.slo_file.roles))}"
            )
        role = self.slo_file.roles[name]
        if model := self.options.model or self.entry.models.get(name):
            role = replace(role, params={**role.params, "model": model})
        return role

    def model(self, role: str | None) -> str:
        """The model that requests in this *role* ask. Raises LlmPerfUsageError."""
        return str(self.role(role).params.get("model") or self.backend.model or "")

    def cases(self, slo: Slo, *, directory: Path, scenario: str) -> Iterator[Any] | None:
        """The cases of a scenario in the order of its iterations; None when it has none."""
        if slo.cases is None:
            return None
        cases = slo.cases if isinstance(slo.cases, tuple) else load_cases(self._beside(directory, slo.cases))
        return shuffled(cases, seed=self.seed, scenario=scenario)

    def _beside(self, directory: Path, name: str) -> Path:
        beside = directory / name
        return beside if beside.exists() or not (self.root / name).exists() else self.root / name

    @cached_property
    def store(self) -> DirectoryStore:
        """Where the baselines are. Raises LlmPerfUsageError where a URL has none."""
        if self._main is not None:
            return self._main.store
        root = self.options.baseline or self.root / ".llmperf" / "baselines"
        if self.options.baseline_url is not None and self.compares_with_stored:
            from pytest_llmperf.stores.archive import fetch  # noqa: PLC0415 - only when it is used

            self._fetched = TemporaryDirectory(prefix="llmperf-baselines-")
            root = Path(self._fetched.name)
            fetch(self.options.baseline_url, root)
        return DirectoryStore(root, must_match=self.slo_file.must_match)

    @property
    def compares_with_stored(self) -> bool:
        """Whether there is a use for stored runs: not in a session that saves, or compares otherwise."""
        options = self.options
        return not (options.saves or options.quick or options.ab or options.gate is GateMode.OFF)

    def history(self, scenario: str) -> History:
        """What is stored about *scenario*; nothing where there is no use for it."""
        return self.store.history(scenario) if self.compares_with_stored else History()

    @property
    def mock(self) -> MockServer:
        """The mock server, started by the first call."""
        if self._main is not None:
            return self._main.mock
        if self._mock is None:
            from pytest_llmperf.mock.process import start_mock  # noqa: PLC0415 - only when it is used

            self._mock = start_mock(self._mock_config(), seed=self.options.seed)
        return self._mock

    def _mock_config(self) -> MockConfig:
        """The mock's settings. Raises LlmPerfUsageError for a bad one."""
        from pytest_llmperf.mock.config import parse_config  # noqa: PLC0415 - only when it is used

        path = self.options.slo_file or self.root / "slo.yaml"
        return parse_config(self.slo_file.mock, where=f"{path.name}  mock", folder=path.parent)

    @property
    def seed(self) -> int:
        """What the order of cases and of arms is drawn from."""
        return self.options.seed or 0

    @property
    def backend(self) -> Backend:
        """The selected backend, reachable and with its model known.

        Raises LlmPerfUsageError in one line when no server answers within 5 s; asked once.
        """
        if self._unreachable is not None:
            raise LlmPerfUsageError(self._unreachable)
        if self._backend is None:
            try:
                self._backend = self._connect()
            except LlmPerfUsageError as error:
                self._unreachable = str(error)
                raise
        return self._backend

    def connect(self) -> None:
        """Make sure that every server answers. Raises LlmPerfUsageError in one line when one does not."""
        _ = self.arms

    def scrape(self, arm: str) -> Counters | None:
        """What an arm's server has counted; one that told nothing once is not asked again."""
        from pytest_llmperf.probes.server_metrics import scrape  # noqa: PLC0415 - only when it is used

        if arm in self._silent:
            return None
        counters = scrape(self.arms[Arm(arm)])
        if counters is None:
            self._silent.add(arm)
        return counters

    def check_out(self, files: Sequence[Path], arguments: Sequence[str]) -> None:
        """Start the base arm's process, under ``--llm-ab git:REV``. Raises LlmPerfUsageError."""
        name = self.options.ab
        if name is None or not name.startswith(GIT) or self.options.quick:
            return
        from pytest_llmperf.ab.revision import Revision  # noqa: PLC0415 - only when it is used

        self._revision = Revision.start(
            name, root=self.root, files=files, arguments=[*_for_revision(self.options), *arguments]
        )

    @property
    def cluster(self) -> Cluster | None:
        """The cluster that carries out load profiles, if one was asked for; `join_cluster` comes first."""
        return self._cluster if self._main is None else self._main.cluster

    def join_cluster(self, files: Sequence[Path], arguments: Sequence[str], *, mock_url: str | None) -> None:
        """Connect to the cluster of ``--llm-cluster``, and make sure that it has what the scenarios need.

        *files* are those that decide what is measured, *arguments* what pytest was given.

        Raises LlmPerfUsageError in one line.
        """
        if self.options.cluster is None:
            return
        from pytest_llmperf.shards.cluster import (  # noqa: PLC0415 - an extra, only when it is used
            Cluster,
            check_arguments,
        )

        check_arguments(arguments)
        self._cluster = Cluster.connect(self.options.cluster)
        self._cluster.examine(root=self.root, files=files, mock_url=mock_url, parts=self.options.processes)

    @cached_property
    def arms(self) -> dict[Arm, Backend]:
        """The server of each arm; there is a base only under ``--llm-ab`` with a backend or URL.

        Raises LlmPerfUsageError as `backend` does.
        """
        arms = {Arm.CANDIDATE: self.backend}
        base = self.options.ab
        if base is not None and not base.startswith(GIT):
            arms[Arm.BASE] = self._base(base)
        return arms

    def _base(self, name: str) -> Backend:
        if "://" in name:
            # Another server of the same kind, so that only the server differs.
            entry = replace(self.entry, url=name, model=self.options.model)
            return connect(label_of(name), entry, own_key=False, mock_speaks=self._mock_speaks)
        entry = entry_of(name, self.slo_file, option="--llm-ab")
        if entry.kind == "mock" and entry.url is None:
            entry = replace(entry, url=self.mock.url)
        entry = replace(entry, model=self.options.model or entry.model)
        return connect(name, entry, own_key=False, mock_speaks=self._mock_speaks)

    def _connect(self) -> Backend:
        name, entry = self.options.backend, self.entry
        if self.uses_mock:
            entry = replace(entry, url=self.mock_url or self.mock.url)
        given = self.slo_file.backends.get(name)
        own_key = given is not None and given.api_key_env is not None
        return connect(name, entry, own_key=own_key, mock_speaks=self._mock_speaks)

    @property
    def _mock_speaks(self) -> Literal["openai", "ollama"]:
        """A mock that plays Ollama is asked as Ollama is: by its own API."""
        return "ollama" if self.slo_file.mock.get("dialect") == "ollama" else "openai"

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

        name = self.entry.tokenizer
        beside = self.root if self.options.slo_file is None else self.options.slo_file.parent
        return TokenCounter(self.backend, tokenizer=None if name is None else beside / name)

    def sampler(self, *, asks_backend: bool, alone: bool = False) -> Sampler:
        """A sampler of what the server and this machine use, for one scenario; *alone*: only this process."""
        from pytest_llmperf.probes.resources import Subject, sampler_of  # noqa: PLC0415 - psutil, when used

        mocked = self.uses_mock and asks_backend
        subject = Subject(
            backend=self.options.backend,
            url=self.backend.url if asks_backend else "",
            process=self.entry.process,
            folder=self.root if self.options.slo_file is None else self.options.slo_file.parent,
            mock_pid=self.mock.pid if mocked and not alone and self.entry.process is None else None,
            alone=alone,
            interleaved=self.options.ab is not None,
        )
        return sampler_of(subject)

    @property
    def facts(self) -> dict[str, str]:
        """The conditions of measuring on this rig, see `core.baseline`; streaming is found by measuring."""
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

    def terms(self, look: int = 0, looks: tuple[int, ...] = ()) -> Terms:
        """On what terms this session judges."""
        if self.options.saves:
            rule = Rule.NONE
        else:
            rule = Rule.PLAIN if self.options.gate is GateMode.PLAIN else Rule.PROVEN
        interleaved = self.options.ab is not None
        return Terms(look=look, looks=looks, rule=rule, run_effect=self.run_effect, interleaved=interleaved)

    @cached_property
    def run_effect(self) -> float | None:
        """Run-to-run noise pooled over all that is stored; None when no scenario has three runs.

        A single scenario's own noise, from a handful of runs, is too noisy to trust.
        """
        if not self.compares_with_stored:
            return None
        if self._main is not None:
            return self._main.run_effect
        from pytest_llmperf.core import gate  # noqa: PLC0415 - numpy, for a session that measures

        series = [
            [run.series["latency_s"] for run in runs if "latency_s" in run.series]
            for runs in self.store.groups()
        ]
        return gate.run_effect([runs for runs in series if len(runs) > 1], quantile=0.95)

    @cached_property
    def budget(self) -> Budget | None:
        """What the session may cost; the same for every set-up."""
        if self._main is not None:
            return self._main.budget
        limit = self.options.max_cost_usd or self.slo_file.max_cost_usd
        return None if limit is None else Budget(limit_usd=limit, name="the session's max_cost_usd")

    @property
    def out_of_time(self) -> bool:
        """Whether the session's budget is spent."""
        return time.monotonic() - self.started_s > self.options.max_time_s

    def turn(self) -> AbstractContextManager[None]:
        """Hold the turn: two scenarios measured at once would disturb each other."""
        return turn(self.turn_lock, self.budget)

    def close(self) -> None:
        """Stop what was started."""
        for rig in self._aimed.values():
            rig.close()
        if "counter" in vars(self):
            self.counter.close()
        if "relay" in vars(self):
            self.relay.stop()
        if self._fetched is not None:
            self._fetched.cleanup()
        if self._cluster is not None:
            self._cluster.close()
        if self._revision is not None:
            self._revision.close()
        if self._mock is not None:
            self._mock.stop()


def _for_revision(options: Options) -> list[str]:
    """What makes a session of another revision measure as this one does, told by the other's orders."""
    selected = [
        *(("backend", name) for name in options.backends),
        ("url", options.url),
        *(("model", name) for name in options.models),
        ("seed", options.seed),
        ("cache", options.overrides.get("cache")),
    ]
    own = [f"--llm-{key}={value}" for key, value in selected if value is not None]
    return ["-p", "pytest_llmperf.ab.peer", "-p", "no:cacheprovider", "--llm-ab=", "--llm-gate=off", *own]
