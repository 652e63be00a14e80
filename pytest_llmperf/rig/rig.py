"""The rig of a set-up: slo.yaml, the servers, and what the whole session shares."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmperf.cases import load_cases, shuffled
from pytest_llmperf.core.budget import Budget
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.load import Load
from pytest_llmperf.core.metric import nearest
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.terms import Rule, Terms
from pytest_llmperf.options import GateMode, Options
from pytest_llmperf.rig.baselines import Baselines
from pytest_llmperf.rig.companions import Companions
from pytest_llmperf.rig.promised import promised, strangers
from pytest_llmperf.rig.servers import Servers
from pytest_llmperf.rig.turns import turn
from pytest_llmperf.slo_yaml.file import Role, SloFile, load

if TYPE_CHECKING:
    from pytest_llmperf.load.rhythm import Rhythm


@dataclass(kw_only=True)
class Rig:
    """What the scenarios of one set-up need; all but *options* and *servers* is the same for every set-up."""

    options: Options
    root: Path  #: pytest's root directory
    slo_file: SloFile
    baselines: Baselines
    companions: Companions
    budget: Budget | None  #: what the session may cost
    turn_lock: Path | None = None  #: set under xdist, where scenarios take turns
    started_s: float = field(default_factory=time.monotonic)
    servers: Servers = field(init=False)
    _aimed: dict[str, Rig] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.servers = Servers(self.options, self.slo_file, root=self.root, companions=self.companions)

    @classmethod
    def of(
        cls,
        options: Options,
        slo_file: SloFile,
        *,
        root: Path,
        turn_lock: Path | None = None,
        mock_url: str | None = None,
    ) -> Rig:
        """The rig of a session. *mock_url*: of another process's mock server, which this one uses too."""
        limit = options.max_cost_usd or slo_file.max_cost_usd
        return cls(
            options=options,
            root=root,
            slo_file=slo_file,
            baselines=Baselines(options, root, must_match=slo_file.must_match),
            companions=Companions(options, slo_file, root=root, mock_url=mock_url),
            budget=None if limit is None else Budget(limit_usd=limit, name="the session's max_cost_usd"),
            turn_lock=turn_lock,
        )

    @classmethod
    def build(
        cls, options: Options, root: Path, *, turn_lock: Path | None = None, mock_url: str | None = None
    ) -> Rig:
        """The same, with slo.yaml read. Raises LlmPerfUsageError for a bad file or an unknown backend."""
        path = options.slo_path(root)
        if options.slo_file is not None and not path.exists():
            raise LlmPerfUsageError(f"--llm-slo-file: {path} does not exist.")
        slo_file = load(path, today=dt.datetime.now().astimezone().date()) if path.exists() else SloFile()
        rig = cls.of(options, slo_file, root=root, turn_lock=turn_lock, mock_url=mock_url)
        _ = rig.servers.entry  # an unknown name is an error now, not in the first scenario
        rig.baselines.check()
        return rig

    def aimed(self, setup: str) -> Rig:
        """The rig of the set-up with this label; the rig itself for "", where there is only one."""
        if not setup:
            return self
        if setup not in self._aimed:
            self._aimed[setup] = replace(self, options=self.options.of(setup))
        return self._aimed[setup]

    def slo(
        self,
        node_id: str,
        marks: Sequence[tuple[Mapping[str, Any], str]],
        loads: Sequence[tuple[Mapping[str, Any], str]] = (),
    ) -> Slo:
        """What a test promises, see `promised.promised`. Raises LlmPerfUsageError."""
        return promised(
            node_id, marks, loads, file=self.slo_file, options=self.options, entry=self.servers.entry
        )

    def strangers(self, scenarios: Collection[str]) -> list[str]:
        """See `promised.strangers`."""
        return strangers(scenarios, file=self.slo_file, options=self.options, entry=self.servers.entry)

    def rhythm(self, load: Load, *, directory: Path, where: str = "@llm_load") -> Rhythm:
        """What *load* comes to, with its files beside the test. Raises LlmPerfUsageError, with *where*."""
        from pytest_llmperf.load.rhythm import Rhythm  # noqa: PLC0415 - only under a load profile

        try:
            return Rhythm.of(load, find=lambda name: self._beside(directory, name))
        except LlmPerfUsageError as error:
            raise LlmPerfUsageError(f"{where}  {error}") from None

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
        if model := self.options.model or self.servers.entry.models.get(name):
            role = replace(role, params={**role.params, "model": model})
        return role

    def model(self, role: str | None) -> str:
        """The model that requests in this *role* ask. Raises LlmPerfUsageError."""
        return str(self.role(role).params.get("model") or self.servers.backend.model or "")

    def cases(self, slo: Slo, *, directory: Path, scenario: str) -> Iterator[Any] | None:
        """The cases of a scenario in the order of its iterations; None when it has none."""
        if slo.cases is None:
            return None
        cases = slo.cases if isinstance(slo.cases, tuple) else load_cases(self._beside(directory, slo.cases))
        return shuffled(cases, seed=self.seed, scenario=scenario)

    def _beside(self, directory: Path, name: str) -> Path:
        beside = directory / name
        return beside if beside.exists() or not (self.root / name).exists() else self.root / name

    @property
    def seed(self) -> int:
        """What the order of cases and of arms is drawn from."""
        return self.options.seed or 0

    def terms(self, look: int = 0, looks: tuple[int, ...] = ()) -> Terms:
        """On what terms this session judges."""
        if self.options.saves:
            rule = Rule.NONE
        else:
            rule = Rule.PLAIN if self.options.gate is GateMode.PLAIN else Rule.PROVEN
        return Terms(
            look=look,
            looks=looks,
            rule=rule,
            run_effect=self.baselines.run_effect,
            interleaved=self.options.ab is not None,
        )

    @property
    def out_of_time(self) -> bool:
        """Whether the session's budget is spent."""
        return time.monotonic() - self.started_s > self.options.max_time_s

    def turn(self) -> AbstractContextManager[None]:
        """Hold the turn: two scenarios measured at once would disturb each other."""
        return turn(self.turn_lock, self.budget)

    def close(self) -> None:
        """Stop what was started."""
        for rig in (self, *self._aimed.values()):
            rig.servers.close()
        self.baselines.close()
        self.companions.close()
