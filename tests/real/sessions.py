"""Sessions of pytest against a real server, in a project of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import Server

#: LiteLLM would ask the network for prices; plugins of packages that are installed beside ours stay out.
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}


@dataclass(frozen=True)
class Session:
    """What came of one."""

    output: str
    scenarios: Mapping[str, Any]  #: of the report, by name


def run(server: Server, folder: Path, tests: str, *options: str, **environment: str) -> Session:
    """Run the module *tests* in *folder* against *server*. The gate only warns."""
    (folder / "test_project.py").write_text(tests, "utf-8")
    report = folder / "run.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-p", "llmperf", "-p", "no:cacheprovider", "--llm-gate=warn"]
    command += ["--llm-backend=vllm", "--llm-url", server.url, "--llm-model", server.model]
    done = subprocess.run(
        [*command, "--llm-report", str(report), *options],
        cwd=folder,
        env={**os.environ, **QUIET, "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    scenarios = json.loads(report.read_text("utf-8"))["scenarios"]
    return Session(output=done.stdout, scenarios={one["name"]: one for one in scenarios})
