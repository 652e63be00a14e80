"""A pytest plugin that runs one part of a load run: the other end of `shard`.

Loaded with ``-p pytest_llmperf.shards.worker`` into the process that `shard.run_shard` starts.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from pytest_llmperf.shards.shard import SPEC, Spec

#: Set in a process that runs a part: which one, and the file for its result.
SHARD = pytest.StashKey[tuple[Spec, Path]]()

#: What a part is given instead of the leading session's: it would write the same files, send the same, empty
#: the same folder, or wait for someone at the keyboard. These win over the environment and the ini file too.
_INSTEAD: dict[str, object] = {
    "llm_report": [],
    "llm_save_baseline": False,
    "llm_append_baseline": False,
    "llm_otel": False,
    "llm_processes": 1,
    "llm_cluster": "",
    "basetemp": None,
    "log_file": None,
    "usepdb": False,
    "trace": False,
    "xmlpath": None,
}


class _Part:
    """The hooks of a process that runs one part."""

    def __init__(self, node_ids: tuple[str, ...], folder: Path) -> None:
        self._node_ids = node_ids
        self._folder = folder
        self._parent = os.getppid()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None]:
        """The tests that take part, whatever else would select them: who leads has selected."""
        collected = {item.nodeid: item for item in items}
        yield
        items[:] = [collected[node_id] for node_id in self._node_ids if node_id in collected]

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Who waits for this process puts its files away; when they are gone, it does so itself."""
        if os.getppid() != self._parent:
            shutil.rmtree(self._folder, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Take the part that the leading session gives."""
    spec, result = pickle.loads(Path(os.environ[SPEC]).read_bytes())  # noqa: S301 - our own process wrote it
    for name, value in _INSTEAD.items():
        if hasattr(config.option, name):
            setattr(config.option, name, value)
    config.args = [f"{config.rootpath}/{node_id}" for node_id in spec.node_ids]
    config.stash[SHARD] = spec, Path(result)
    config.pluginmanager.register(_Part(spec.node_ids, Path(result).parent), "llmperf-part")
    # Who starts a shell script in the background may have Ctrl-C ignored: here it comes from who leads.
    signal.signal(signal.SIGINT, signal.default_int_handler)
