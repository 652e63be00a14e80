"""Draws the pictures of the README from a real run: plays the tutorial until its gate fails.

    python docs/pictures.py        needs the extra "docs", git, and chromium for the picture of the report

It writes docs/_static/terminal.svg and docs/_static/report.png.
"""

from __future__ import annotations

import importlib.util
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "docs" / "_static"
COLUMNS = 100


def tutorial():
    """The test that follows the tutorial, as a module."""
    spec = importlib.util.spec_from_file_location("tutorial", ROOT / "tests" / "docs" / "test_tutorial.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["tutorial"] = module
    spec.loader.exec_module(module)
    return module


def terminal(project, told):
    """Run the gate again in the project that the tutorial left, in colour; the picture of its end."""
    command = "pytest --llm-report run.html"
    done = subprocess.run(
        ["bash", "-c", f"{command} --color=yes"],
        cwd=project,
        env=told.environment() | {"COLUMNS": str(COLUMNS)},
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != 1:
        sys.exit(f"the gate should have failed:\n{done.stdout}")
    lines = done.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if " llm performance " in line)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ {command}\n...\n" + "\n".join(lines[start:])))
    # Rich's own format loads a font from the network, which a page of documentation has no business doing.
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = form.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
    console.save_svg(str(STATIC / "terminal.svg"), title="pytest-llmperf", code_format=form)


def report(project):
    """The top of the HTML report that the run wrote."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no chromium: the picture of the report stays as it is")
    picture = STATIC / "report.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1100,1135"]
    page = (project / "run.html").as_uri()
    subprocess.run([browser, *options, f"--screenshot={picture}", page], check=True, capture_output=True)


def main():
    told = tutorial()
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory) / "assistant"
        if wrong := told.play(project):
            sys.exit(wrong)
        terminal(project, told)
        report(project)


if __name__ == "__main__":
    main()
