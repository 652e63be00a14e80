"""What a session starts or joins besides its own process: the same for every set-up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmperf.ab.arms import GIT
from pytest_llmperf.options import Options
from pytest_llmperf.slo_yaml.file import SloFile

if TYPE_CHECKING:
    from pytest_llmperf.ab.revision import Revision
    from pytest_llmperf.mock.process import MockServer
    from pytest_llmperf.shards.cluster import Cluster


class Companions:
    """The mock server, the process of another revision, and the cluster; each only where it is wanted."""

    def __init__(self, options: Options, slo_file: SloFile, *, root: Path, mock_url: str | None) -> None:
        """*mock_url*: of the mock server of another process, whose companion this one is."""
        self.revision: Revision | None = None  #: the base arm's process, under ``--llm-ab git:REV``
        self.cluster: Cluster | None = None  #: that carries out load profiles, if one was asked for
        self._options = options
        self._slo_file = slo_file
        self._root = root
        self._mock_url = mock_url
        self._mock: MockServer | None = None

    @property
    def mock(self) -> MockServer:
        """The mock server, started by the first call. Raises LlmPerfUsageError for a bad setting of it."""
        if self._mock is None:
            from pytest_llmperf.mock.config import parse_config  # noqa: PLC0415 - only when it is used
            from pytest_llmperf.mock.process import start_mock  # noqa: PLC0415 - only when it is used

            path = self._options.slo_path(self._root)
            config = parse_config(self._slo_file.mock, where=f"{path.name}  mock", folder=path.parent)
            self._mock = start_mock(config, seed=self._options.seed)
        return self._mock

    @property
    def mock_url(self) -> str:
        """Of the mock server that the backend ``mock`` means: another process's, where that lends it."""
        return self._mock_url or self.mock.url

    @property
    def remarks(self) -> Sequence[str]:
        """What to say of them with every scenario: that the mock server ended by itself, and why."""
        why = "" if self._mock is None else self._mock.why_ended
        return (f"the mock server has ended: {why}",) if why else ()

    def check_out(self, files: Sequence[Path], arguments: Sequence[str]) -> None:
        """Start the base arm's process, under ``--llm-ab git:REV``. Raises LlmPerfUsageError."""
        name = self._options.ab
        if name is None or not name.startswith(GIT) or self._options.quick:
            return
        from pytest_llmperf.ab.revision import Revision, arguments_for  # noqa: PLC0415 - only when it is used

        own = [*arguments_for(self._options), *arguments]
        self.revision = Revision.start(name, root=self._root, files=files, arguments=own)

    def join_cluster(self, files: Sequence[Path], arguments: Sequence[str], *, mock_url: str | None) -> None:
        """Connect to the cluster of ``--llm-cluster``, and make sure that it has what the scenarios need.

        *files* are those that decide what is measured, *arguments* what pytest was given.

        Raises LlmPerfUsageError in one line.
        """
        if self._options.cluster is None:
            return
        from pytest_llmperf.shards.cluster import (  # noqa: PLC0415 - an extra, only when it is used
            Cluster,
            check_arguments,
        )

        check_arguments(arguments)
        self.cluster = Cluster.connect(self._options.cluster)
        self.cluster.examine(root=self._root, files=files, mock_url=mock_url, parts=self._options.processes)

    def close(self) -> None:
        """Stop what was started, and leave what was joined."""
        if self.cluster is not None:
            self.cluster.close()
        if self.revision is not None:
            self.revision.close()
        if self._mock is not None:
            self._mock.stop()
