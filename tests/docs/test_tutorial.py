"""The tutorial is played: its files are written, its commands run, their output compared."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial" / "index.md").read_text("utf-8")
BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
INSTALL = [
    "mkdir assistant && cd assistant",
    "git init --quiet --initial-branch main",
    "python3 -m venv .venv",
    ". .venv/bin/activate",
    "pip install pytest-llmperf",
]
FAILS = "pytest --llm-report run.html --llm-report run.json"  # the one command that is meant to fail
TRIES = 2  # times are real, and a machine that somebody else keeps busy can break a limit
UNCHANGED = re.compile(r"^(test_greeting .* x[\d.]+) .*")  # its row, where it is compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A block of the page: what to type with what comes out, or a file or change of one."""

    kind: str
    text: str
    path: str  #: the last file that the text before names


def steps():
    """The blocks of the page, in order."""
    for found in BLOCK.finditer(PAGE):
        paths = re.findall(r"`([\w./]+\.(?:txt|py|yaml))`", PAGE[: found.start()])
        yield Step(kind=found["kind"], text=found["text"], path=paths[-1] if paths else "")


def commands(text):
    """Every command of a console block with the lines that are shown below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        yield command, shown


def change(path, diff):
    """Apply a diff without line numbers: the lines with - are there once, and become those with +."""
    lines = diff.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if line.startswith("-"))
    new = "".join(f"{line[1:]}\n" for line in lines if line.startswith("+"))
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path.name} does not hold once: {old}"
    path.write_text(text.replace(old, new), "utf-8")


def first_difference():
    """The comparison of the examples' READMEs: numbers and spaces may differ."""
    place = ROOT / "tests" / "examples" / "test_readmes.py"
    spec = importlib.util.spec_from_file_location("comparison_of_readmes", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.first_difference


def environment():
    """Where the commands find this package, and git somebody to commit as."""
    who = {
        f"GIT_{role}_{what}": "a@b.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "LLMPERF_"))}
    # A user's environment has no other plugins; -p is how this one is found without the rest.
    return (
        plain
        | who
        | {
            "COLUMNS": "80",
            "PATH": path,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "-p llmperf",
        }
    )


def play(directory):
    """Follow the page in *directory*; what went otherwise than shown, or None."""
    differs = first_difference()
    directory.mkdir()
    for step in steps():
        if step.kind in {"text", "python"}:
            (directory / step.path).write_text(step.text, "utf-8")
        elif step.kind == "diff":
            change(directory / step.path, step.text)
        elif step.kind == "console":
            for command, shown in commands(step.text):
                if command in INSTALL and command != INSTALL[1]:
                    continue
                done = run(command, directory)
                # That it does not fail is in pytest's last line; what else it is depends on the machine.
                expected = [UNCHANGED.sub(r"\1 ...", line) for line in shown]
                different = differs(expected, done.stdout)
                if done.returncode != (command == FAILS) or different is not None:
                    said = f"exit {done.returncode}, shown and not seen: {different!r}"
                    return f"$ {command}\n{said}\n{done.stdout}"
    return None


def run(command, directory):
    """The finished *command* of a shell."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )


@pytest.mark.examples
def test_every_command_works_as_printed(tmp_path):
    wrong = None
    for attempt in range(TRIES):
        wrong = play(tmp_path / f"assistant{attempt}")
        if wrong is None:
            return
    pytest.fail(wrong, pytrace=False)


def test_it_begins_in_an_empty_directory_and_a_fresh_environment():
    first = next(step for step in steps() if step.kind == "console")
    assert [command for command, _ in commands(first.text)] == INSTALL


def test_the_scenario_can_be_written_and_passes(tmp_path):
    """The quick half of the test above, for every run of the suite."""
    assert run("git init --quiet && llmperf init --github", tmp_path).returncode == 0
    for step in steps():
        if step.kind in {"text", "python"}:
            (tmp_path / step.path).write_text(step.text, "utf-8")
        elif step.kind == "diff":
            change(tmp_path / step.path, step.text)
    done = run("pytest --llm-quick", tmp_path)
    assert done.returncode == 0, done.stdout
    assert "test_router" in done.stdout


def test_only_what_happens_on_github_is_not_run():
    not_run = [step.text for step in steps() if step.kind not in {"console", "text", "python", "diff"}]
    assert len(not_run) == 1
    assert "git push" in not_run[0]
    assert PAGE.index("This step happens on GitHub") < PAGE.index(not_run[0])
