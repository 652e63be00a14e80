"""A pytest plugin that runs one part of a load run: the other end of `shard`.

Loaded with ``-p pytest_llmperf.shard_worker`` into the process that `shard.run_shard` starts.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from pytest_llmperf.shard import SPEC
from pytest_llmperf.sharing import MOCK_URL
from pytest_llmperf.splitting import SHARD

#: What a part is given instead of the leading session's: it would write the same files, or send the same.
#: These win over the environment and the ini file as well.
_INSTEAD: dict[str, object] = {
    "llm_report": [],
    "llm_save_baseline": False,
    "llm_append_baseline": False,
    "llm_otel": False,
    "llm_processes": 1,
    "llm_cluster": "",
    "xmlpath": None,
}


class _Part:
    """The hooks of a process that runs one part."""

    def __init__(self, node_ids: tuple[str, ...]) -> None:
        self._node_ids = node_ids

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Only the tests that take part."""
        items[:] = [item for item in items if item.nodeid in self._node_ids]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Take the part that the leading session gives."""
    spec, result = pickle.loads(Path(os.environ[SPEC]).read_bytes())  # noqa: S301 - our own process wrote it
    for name, value in _INSTEAD.items():
        if hasattr(config.option, name):
            setattr(config.option, name, value)
    config.stash[SHARD] = spec, Path(result)
    if spec.mock_url is not None:
        config.stash[MOCK_URL] = spec.mock_url
    config.pluginmanager.register(_Part(spec.node_ids), "llmperf-part")
