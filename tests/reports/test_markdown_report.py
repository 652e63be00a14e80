from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from pytest_llmperf.reports.markdown import code, escaped, render

cmarkgfm = pytest.importorskip("cmarkgfm")  # GitHub's own Markdown
GITHUB_COMMENT = 65_536  # bytes

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://evil.example/x.png)",
    "[click](https://evil.example)",
    "https://evil.example www.evil.example",
    "`code` ``` fence",
    "a | b | c",
    "**bold** _under_ ~~gone~~",
    "</code></details><h1>owned",
    "&lt;b&gt; &amp;",
    "line\n\n# heading\n\n- item",
    "$x^2$ and $$y$$",
    "\\`escaped\\`",
]


class Page(HTMLParser):
    """The elements and the text of a rendered page."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        options = cmarkgfm.cmark.Options.CMARK_OPT_UNSAFE
        self.feed(
            cmarkgfm.markdown_to_html_with_extensions(
                markdown, options, extensions=["table", "autolink", "strikethrough", "tagfilter", "tasklist"]
            )
        )

    def handle_starttag(self, tag, _attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_untrusted_code_is_one_code_element_with_exactly_that_text(text):
    page = Page(f"x {code(text)} y")
    assert page.tags == ["p", "code"]


@pytest.mark.parametrize("text", HOSTILE)
def test_an_untrusted_sentence_makes_no_element_of_its_own(text):
    assert set(Page(f"x {escaped(text)} y").tags) <= {"p", "span"}


@pytest.mark.parametrize("text", [text for text in HOSTILE if "\n" not in text])
def test_an_untrusted_text_is_shown_as_it_was(text):
    assert Page(f"x {escaped(text)} {code(text)} y").text.strip() == f"x {text} {text} y"


@pytest.mark.parametrize("text", ["@octocat", "see #12", "(@octocat)"])
def test_a_sentence_mentions_and_references_nothing(text):
    # GitHub looks for these inside one text node.
    assert not re.search(r"[@#]\w", escaped(text))


def test_a_commit_is_left_readable():
    assert escaped("baseline 141 ms (main@3f2c1a)") == "baseline 141 ms (main@3f2c1a)"


def test_a_hostile_run_makes_no_element_but_ours(runs):
    ours = {
        "h2",
        "p",
        "strong",
        "code",
        "span",
        "ul",
        "li",
        "details",
        "summary",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    assert set(Page(render(runs.everything())).tags) <= ours


def test_every_row_of_the_tables_has_as_many_cells_as_its_heading(runs):
    for table in re.findall(r"(?:^\|.*\|\n)+", render(runs.everything()), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_the_headline_counts_the_outcomes_worst_first(runs):
    assert render(runs.of("passed", "regressed", "failed")).startswith(
        "## ❌ llm performance: 1 failed, 1 regressed, 1 passed\n"
    )


def test_what_changed_comes_worst_first(runs):
    rows = [line for line in render(runs.of("regressed", "failed")).splitlines() if line.startswith("| ❌")]
    assert [row.split("|")[1].strip() for row in rows] == ["❌ failed", "❌ regressed", "❌ regressed"]


def test_a_regression_shows_now_baseline_and_ratio(runs):
    row = next(line for line in render(runs.of("regressed")).splitlines() if "❌ regressed" in line)
    cells = [re.sub(r" \([\d.]+-[\d.]+\)", " (low-high)", cell.strip()) for cell in row.split("|")[3:-1]]
    assert cells == ["p95", "229 ms", "x1.10", "127 ms", "x1.81 (low-high)", "200"]


def test_unchanged_scenarios_are_folded(runs):
    before, _, folded = render(runs.of("passed", "failed")).partition("<details>")
    assert ("test_chat" in before, "test_chat" in folded) == (False, True)


def test_a_broken_promise_without_a_number_has_its_sentence(runs):
    assert "p95 was not measured" in render(runs.of("silent"))


def test_a_problem_stands_before_everything_else(runs):
    assert render(runs.everything()).splitlines()[2].startswith("**problem:**")


@pytest.mark.parametrize("kind", ["failed", "no_baseline", "hostile"])
def test_hundreds_of_scenarios_fit_a_comment(runs, kind):
    scenario = runs.scenario(kind)
    many = [
        dataclasses.replace(
            scenario,
            measurement=dataclasses.replace(
                scenario.measurement, name=f"test_{index}_{'ş|<' * 60}", scenario=f"{index}"
            ),
            verdict=dataclasses.replace(scenario.verdict, reason=f"{index} " + "<|_*" * 400),
        )
        for index in range(400)
    ]
    problems = tuple(f"{index} {'|😀' * 500}" for index in range(50))
    rendered = render(runs.run_of(*many, problems=problems))
    assert len(rendered.encode()) < GITHUB_COMMENT - 1_000  # which a marker and links take
    assert "more problems" in rendered


def test_what_does_not_fit_is_counted(runs):
    one = runs.scenario("failed")
    run = runs.run_of(
        *(
            dataclasses.replace(one, measurement=dataclasses.replace(one.measurement, name=f"test_{index}"))
            for index in range(400)
        )
    )
    shown = len(re.findall(r"^\| ❌", render(run).partition("<details>")[0], re.MULTILINE))
    assert f"… and {400 - shown} more." in render(run)


def test_how_many_requests_were_spent_is_told_at_the_top(runs):
    lines = render(runs.of("passed", "failed")).splitlines()
    assert lines[2] == "measured: vllm Qwen/Qwen2.5-3B-Instruct; 240 requests"
