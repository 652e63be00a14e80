"""What the pages show: options and commands exist, examples run, numbers are those that were measured."""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path

import pytest

from pytest_llmperf import cli

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)]
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^```(?:console|sh|toml|yaml)\n(.*?)^```$|`([^`\n]+)`", re.MULTILINE | re.DOTALL)

FAST = "version: 1\nmock: {latency: {ttft: constant(5ms), itl: constant(0ms)}}\n"


def code(page):
    """Every piece of code in a page that could hold an option."""
    return "\n".join(block or inline for block, inline in CODE.findall(page.read_text("utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_option_of_ours_that_a_page_names_exists(page, pytestconfig):
    group = next(group for group in pytestconfig._parser._groups if group.name == "llm performance")
    known = {name for option in group.options for name in option.names()}
    assert "--llm-backend" in known
    named = set(re.findall(r"(--llm-[a-z-]*[a-z])", code(page)))
    assert named - known == set()


def words_of_llmperf():
    parser = cli._parser()
    (group,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return set(group.choices)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_of_llmperf_that_a_page_names_exists(page):
    known = words_of_llmperf()
    assert "compare" in known
    assert set(re.findall(r"(?<![\w.-])llmperf ([a-z][a-z-]+)", code(page))) - known == set()


def named_examples():
    """The scenarios of the pages for people who come from elsewhere, by the file name in their first line."""
    text = (DOCS / "how-to" / "migrate.md").read_text("utf-8")
    for block in PYTHON.findall(text):
        if name := re.match(r"# (test_\w+\.py)\n", block):
            yield name[1], block
    (respx,) = PYTHON.findall((DOCS / "how-to" / "mock-http-calls.md").read_text("utf-8"))
    yield "test_respx_page.py", respx


def test_the_examples_for_newcomers_run(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.path.joinpath("slo.yaml").write_text(FAST, "utf-8")
    examples = dict(named_examples())
    assert len(examples) == 6
    for name, text in examples.items():
        text_in_a_hurry = text.replace('"uniform(1s, 5s)"', '"uniform(1ms, 5ms)"')
        pytester.path.joinpath(name).write_text(text_in_a_hurry, "utf-8")
    plugins = ("-p", "llmperf", "-p", "pytest_benchmark.plugin", "--benchmark-max-time=0.1")
    result = pytester.runpytest_subprocess("--llm-quick", *plugins)
    result.assert_outcomes(passed=6)


def table_rows(page, first):
    """The numbers of the rows that begin with *first*."""
    for line in (DOCS / page).read_text("utf-8").splitlines():
        if line.startswith(f"| {first}"):
            yield [float(cell) for cell in re.findall(r"\| (\d+(?:\.\d+)?)(?= )", line)]


@pytest.mark.parametrize(("words", "sigma"), [("steady", "0.1"), ("ordinary", "0.3"), ("scattered", "0.6")])
def test_what_n_buys_is_what_was_measured(words, sigma):
    (shown,) = table_rows("how-to/choose-iterations.md", words)
    (measured,) = table_rows("explanation/gate.md", f"lognormal {sigma} | 3 %")
    _noise, _same, _five, _ten, fifteen, twenty, thirty, fifty, requests, *_ = measured
    assert shown == [round(value) for value in (fifteen, twenty, thirty, fifty, requests)]


def test_every_module_that_the_map_names_exists():
    text = (DOCS / "explanation" / "architecture.md").read_text("utf-8")
    start = re.search(r"^## Where to start reading\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)[1]
    named = re.findall(r"^\d\. `([\w/]+(?:\.py)?/?)`", start, re.MULTILINE)
    assert len(named) >= 5
    assert [name for name in named if not (ROOT / "pytest_llmperf" / name).exists()] == []


def test_every_dependency_of_users_is_accounted_for():
    text = (DOCS / "explanation" / "dependencies.md").read_text("utf-8").lower()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra, names in project["optional-dependencies"].items():
        assert f"`{extra}`" in text
        wanted += names if extra in {"gpu", "tokenizers", "otel"} else []
    unsaid = {name for line in wanted if (name := re.match(r"[\w-]+", line)[0].lower()) not in text}
    assert unsaid == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_file_that_is_linked_from_outside_the_documentation_exists(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text("utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_pictures_stay_small():
    pictures = [path for path in (DOCS / "_static").iterdir() if path.suffix in {".png", ".svg"}]
    assert len(pictures) >= 2
    assert [path.name for path in pictures if path.stat().st_size > 200_000] == []


def test_every_page_is_in_an_index():
    """What Sphinx says too, but only when the documentation is built."""
    for folder in ("how-to", "explanation", "reference"):
        listed = re.findall(
            r"^([a-z][a-z-]+)$", (DOCS / folder / "index.md").read_text("utf-8"), re.MULTILINE
        )
        assert sorted(listed) == sorted(
            path.stem for path in (DOCS / folder).glob("*.md") if path.stem != "index"
        )
