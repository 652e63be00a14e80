"""The comparison of models in every format."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import jsonschema
import pytest

from pytest_llmperf.core.slo import parse_limit
from pytest_llmperf.core.yardsticks import Reference, Yardsticks
from pytest_llmperf.reports import csv as csv_report
from pytest_llmperf.reports import html, markdown, terminal
from pytest_llmperf.reports import json as json_report
from pytest_llmperf.reports.parse import parse, schema

YARDSTICKS = Yardsticks(
    keep_small=(parse_limit("p50_ms", 150),),
    references=(
        Reference(name="gpt-4", figures=(parse_limit("p95_ms", 900),), source="https://example.org/gpt"),
        Reference(name="<b>evil\x1b[2J", figures=(parse_limit("p95_ms", 100),)),
    ),
)


@pytest.fixture(scope="module")
def two(runs):
    """Two scenarios on a fast and a slow set-up; the slow one breaks a limit."""

    def one(name, setup, median):
        measured = runs.measured(
            f"{name}[{setup}]", setup=setup, scenario=f"tests/a.py::{name}[{setup}]", median_s=median, n=100
        )
        return runs.judged(measured, runs.slo(p95_ms=250))

    return runs.run_of(
        one("test_router", "single", 0.11),
        one("test_router", "split", 0.2),
        one("test_chat", "single", 0.11),
        one("test_chat", "split", 0.3),
        yardsticks=YARDSTICKS,
    )


def shown(run, width=120):
    return [
        "".join(text for text, _ in line).rstrip() for line in terminal.render(run, width=width, verbosity=0)
    ]


def test_the_terminal_marks_the_best_with_a_star(two):
    lines = shown(two)
    start = lines.index("model comparison")
    assert lines[start + 2].split()[:2] == ["test_router", "single"]
    assert (lines[start + 2].count("*"), lines[start + 3].count("*")) == (3, 0)


def test_a_name_is_told_once(two):
    lines = shown(two)
    assert lines[lines.index("model comparison") + 3].split()[0] == "split"


def test_the_recommendation_is_a_sentence_with_its_weights(two):
    text = "\n".join(shown(two))
    assert "recommended: single; scores: single 1.00, split 0." in text
    assert "split breaks the gate of test_chat" in text
    assert "weights: TTFT p95 2, p95 2, tokens/s 1, JSON 2, passed 2" in text


def test_published_figures_are_columns_with_the_improvement(two):
    lines = shown(two)
    start = lines.index("versus published figures")
    assert "versus gpt-4" in lines[start + 1]
    assert "900 ms, +86 %" in lines[start + 2]
    assert any("(gpt-4: https://example.org/gpt)" in line for line in lines)


def test_the_word_on_the_size_of_each_model(two):
    text = "\n".join(shown(two))
    assert "single: keep small, it meets p50_ms in every scenario" in text
    assert "split: too slow here" in text


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_row_of_the_comparison_is_wider_than_the_terminal(two, width):
    lines = shown(two, width)
    titles = [
        at for at, line in enumerate(lines) if line.startswith(("model comparison", "versus published"))
    ]
    assert len(titles) == 2
    assert max(len(line) for at in titles for line in lines[at + 1 : at + 6]) <= width


def test_a_hostile_name_of_a_reference_stays_text(two):
    assert "\x1b" not in "\n".join(shown(two))
    assert "<b>evil" not in markdown.render(two)
    assert "<b>evil" not in html.render(two)


def test_markdown_has_the_best_in_bold(two):
    text = markdown.render(two)
    row = next(
        line
        for line in text.splitlines()
        if "single" in line and "test&#95;router" not in line[:2] and "**" in line
    )
    assert row.count("**") == 6
    assert "### Model comparison" in text
    assert "recommended: single" in text


def test_the_page_has_a_section_with_the_best_marked(two):
    page = html.render(two)
    section = page.partition('<section aria-labelledby="comparison">')[2].partition("</section>")[0]
    assert section.count('<b class="best">') == 6
    assert "recommended: single" in section


def test_a_session_with_one_model_has_no_such_section(runs):
    run = runs.of("passed")
    assert "model comparison" not in shown(run)
    assert 'id="comparison"' not in html.render(run)


def test_run_json_holds_the_comparison_and_keeps_to_its_schema(two):
    document = json.loads(json_report.render(two))
    jsonschema.validate(document, schema())
    assert document["comparison"]["winner"] == "single"
    assert [row["setup"] for row in document["comparison"]["rows"]] == ["single", "split"] * 2
    assert document["versus"][0]["improvement"] == pytest.approx(0.86, abs=0.01)


def test_a_run_read_back_gives_the_same_comparison(two):
    again = parse(json_report.render(two))
    assert again.yardsticks == YARDSTICKS
    assert shown(again) == shown(two)


def test_a_run_written_before_there_were_comparisons_is_still_read(two):
    document = json.loads(json_report.render(two))
    for name in ("yardsticks", "comparison", "versus"):
        del document[name]
    for scenario in document["scenarios"]:
        del scenario["setup"]
    again = parse(json.dumps(document))
    assert again == dataclasses.replace(again, yardsticks=Yardsticks())


def test_csv_names_the_set_up(two):
    rows = list(csv.DictReader(io.StringIO(csv_report.render(two))))
    assert [row["setup"] for row in rows] == ["single", "split"] * 2


def test_what_a_narrow_terminal_leaves_out_is_said(two):
    wide, narrow = shown(two, width=120), shown(two, width=50)
    assert "model comparison" in wide
    (title,) = (line for line in narrow if line.startswith("model comparison"))
    assert title == "model comparison (too narrow for tokens/s, JSON, passed)"


def test_a_page_of_one_model_has_no_verdict_about_models(runs):
    alone = Yardsticks(references=YARDSTICKS.references)
    page = html.render(runs.run_of(runs.scenario("passed"), yardsticks=alone))
    assert 'class="verdict-line"' not in page
    assert '<p class="quiet">+ is better than published; the figures were measured by others' in page
