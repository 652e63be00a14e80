"""Each format is fed to the tool that reads it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import multiprocessing
import subprocess
import sys

import jsonschema
import pytest

from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.verdict import Check, CheckKind, Verdict
from pytest_llmperf.reports import alerts, bencher, github_benchmark, openmetrics, pytest_benchmark
from pytest_llmperf.reports import csv as csv_report
from pytest_llmperf.reports.write import append, write

# ---- CSV


def rows(run):
    return list(csv.DictReader(io.StringIO(csv_report.render(run), newline=""), strict=True))


def test_csv_has_a_row_per_scenario(runs):
    assert len(rows(runs.everything())) == 11


def test_csv_keeps_numbers_in_seconds(runs):
    assert float(rows(runs.of("passed"))[0]["latency_p95_s"]) == pytest.approx(0.1258626368)


def test_csv_leaves_empty_what_does_not_exist(runs):
    assert rows(runs.of("silent"))[0]["latency_p95_s"] == ""


def test_csv_has_the_same_columns_for_every_run(runs):
    assert csv_report.render(runs.of()).splitlines() == csv_report.render(runs.everything()).splitlines()[:1]


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A1", "+1", "-1", "@SUM(A1)"])
def test_csv_has_no_cell_that_a_spreadsheet_would_run(runs, text):
    scenario = runs.judged(runs.measured(model=text))
    assert rows(runs.run_of(scenario))[0]["model"] == f"'{text}"


@pytest.mark.parametrize("sign", "=+-@＝＋－＠")
def test_csv_marks_what_a_spreadsheet_of_any_language_would_run(runs, sign):
    (row,) = rows(runs.run_of(runs.judged(runs.measured(backend=f"{sign}SUM(1)"))))
    assert row["backend"] == f"'{sign}SUM(1)"


def test_csv_has_no_row_break_inside_a_cell(runs):
    assert len(csv_report.render(runs.of("hostile")).splitlines()) == 2


# ---- alerts


def alert_lines(run):
    return [json.loads(line) for line in alerts.render(run).splitlines()]


def test_an_alert_names_component_value_threshold_and_commit(runs):
    (alert,) = alert_lines(runs.of("failed"))
    assert {
        key: alert[key] for key in ("component", "metric", "threshold", "unit", "severity", "commit")
    } == {
        "component": "test_router",
        "metric": "p95",
        "threshold": 150.0,
        "unit": "ms",
        "severity": "critical",
        "commit": "9d4e11b",
    }


def test_there_is_an_alert_for_every_broken_check(runs):
    assert [alert["metric"] for alert in alert_lines(runs.of("regressed"))] == ["p95", "ttft p95"]


def test_the_threshold_of_a_regression_is_what_the_baseline_allows(runs):
    alert = alert_lines(runs.of("regressed"))[0]
    assert alert["threshold"] == pytest.approx(1.1 * alert["baseline"])


def test_what_is_not_broken_raises_no_alert(runs):
    assert alerts.render(runs.of("passed", "no_baseline", "not_comparable", "inconclusive")) == ""


def broken(runs, **check):
    fields = {
        "metric": "latency",
        "statistic": "p95",
        "kind": CheckKind.LIMIT,
        "unit": "s",
        "outcome": Outcome.FAILED,
        "reason": "r",
    }
    verdict = Verdict(outcome=Outcome.FAILED, reason="r", checks=(Check(**{**fields, **check}),))
    return runs.run_of(dataclasses.replace(runs.scenario("failed"), verdict=verdict))


@pytest.mark.parametrize(
    ("check", "severity"),
    [
        ({"limit": 0.1, "observed": 0.12}, "warning"),
        ({"limit": 0.1, "observed": 0.121}, "critical"),
        ({"limit": 0.1, "observed": None}, "critical"),
        (
            {"metric": "json_valid", "statistic": "rate", "unit": "", "limit": 0.9, "observed": 0.885},
            "warning",
        ),
        (
            {"metric": "json_valid", "statistic": "rate", "unit": "", "limit": 0.98, "observed": 0.9},
            "critical",
        ),
        (
            {"metric": "success_rate", "statistic": "rate", "unit": "", "limit": 1.0, "observed": 0.99},
            "critical",
        ),
        (
            {"metric": "accuracy:route", "statistic": "rate", "unit": "", "limit": 0.9, "observed": 0.885},
            "warning",
        ),
        (
            {"metric": "tokens_per_s", "statistic": "rate", "unit": "1/s", "limit": 100.0, "observed": 90.0},
            "warning",
        ),
        (
            {"metric": "tokens_per_s", "statistic": "rate", "unit": "1/s", "limit": 100.0, "observed": 50.0},
            "critical",
        ),
    ],
)
def test_severity_is_how_far_beyond_the_threshold(runs, check, severity):
    assert alert_lines(broken(runs, **check))[0]["severity"] == severity


def test_a_problem_of_the_session_is_an_alert(runs):
    assert alert_lines(runs.of(problems=("worker gw0 crashed",)))[0]["reason"] == "worker gw0 crashed"


def test_alerts_are_added_to_those_of_earlier_runs(runs, tmp_path):
    for _ in range(3):
        write(runs.of("failed"), ["alerts.ndjson"], directory=tmp_path)
    assert len((tmp_path / "alerts.ndjson").read_text().splitlines()) == 3


def _appending(path, writer):
    for _ in range(50):
        append(path, json.dumps({"writer": writer, "text": "ş" * 3000}) + "\n")


def test_concurrent_writers_of_alerts_never_mix_lines(tmp_path):
    path = tmp_path / "alerts.ndjson"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_appending, args=(path, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [json.loads(line)["writer"] for line in path.read_text().splitlines()].count(2) == 50


# ---- pytest-benchmark


def test_pytest_benchmark_compares_two_runs(runs, tmp_path):
    paths = [tmp_path / "0001_before.json", tmp_path / "0002_after.json"]
    for path in paths:
        write(runs.everything(), [f"pytest-benchmark={path}"], directory=tmp_path)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest_benchmark",
            "compare",
            *map(str, paths),
            "--csv",
            str(tmp_path / "out.csv"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    compared = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert (result.returncode, "test_chat" in result.stdout, len(compared)) == (0, True, 36)


def test_pytest_benchmark_s_own_statistics_agree(runs):
    from pytest_benchmark.stats import Stats

    benchmark = json.loads(pytest_benchmark.render(runs.of("passed")))["benchmarks"][0]
    theirs = Stats()
    for value in runs.scenario("passed").measurement.series["latency_s"]:
        theirs.update(value)
    fields = (
        "min",
        "max",
        "mean",
        "stddev",
        "median",
        "rounds",
        "total",
        "ops",
        "stddev_outliers",
        "ld15iqr",
        "hd15iqr",
    )
    assert {name: benchmark["stats"][name] for name in fields} == pytest.approx(
        {name: getattr(theirs, name) for name in fields}
    )


def test_pytest_benchmark_gets_every_field_it_writes_itself(runs):
    from pytest_benchmark.stats import Stats

    stats = json.loads(pytest_benchmark.render(runs.of("passed")))["benchmarks"][0]["stats"]
    assert set(stats) == {*Stats.fields, "data", "iterations"}


def test_a_single_sample_has_statistics(runs):
    benchmark = pytest_benchmark.render(runs.run_of(runs.judged(runs.measured(n=1))))
    assert json.loads(benchmark)["benchmarks"][0]["stats"]["stddev"] == 0


# ---- github-action-benchmark and Bencher


@pytest.mark.parametrize("render", [github_benchmark.render_smaller, github_benchmark.render_bigger])
def test_github_benchmark_gets_what_its_reader_asks_for(runs, render):
    # BenchmarkResult in its src/extract.ts
    schema = {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name", "unit", "value"],
            "properties": {
                "name": {"type": "string"},
                "unit": {"type": "string"},
                "value": {"type": "number"},
                "range": {"type": "string"},
                "extra": {"type": "string"},
            },
        },
    }
    jsonschema.validate(json.loads(render(runs.everything())), schema)


def test_github_benchmark_names_every_entry_differently(runs):
    names = [entry["name"] for entry in json.loads(github_benchmark.render_smaller(runs.everything()))]
    assert len(names) == len(set(names))


def test_github_benchmark_s_times_are_in_milliseconds(runs):
    entries = json.loads(github_benchmark.render_smaller(runs.of("passed")))
    assert [entry["value"] for entry in entries if entry["name"] == "test_chat: p95"] == [125.8626368]


def test_github_benchmark_shows_the_interval(runs):
    entries = json.loads(github_benchmark.render_smaller(runs.of("passed")))
    assert next(entry["range"] for entry in entries if entry["name"] == "test_chat: p95") == "122-130 ms"


def test_bencher_gets_its_metric_format(runs):
    # https://bencher.dev/bmf.json
    metric = {
        "type": "object",
        "properties": {
            "value": {"type": "number"},
            "lower_value": {"type": "number"},
            "upper_value": {"type": "number"},
        },
        "required": ["value"],
        "additionalProperties": False,
    }
    benchmark = {"type": "object", "minProperties": 1, "patternProperties": {".+": metric}}
    jsonschema.validate(
        json.loads(bencher.render(runs.everything())),
        {"type": "object", "patternProperties": {".+": benchmark}},
    )


def test_bencher_s_latency_is_in_nanoseconds(runs):
    assert json.loads(bencher.render(runs.of("passed")))["test_chat"]["latency"]["value"] == 125862636.8


def test_bencher_s_bounds_enclose_the_value(runs):
    latency = json.loads(bencher.render(runs.of("passed")))["test_chat"]["latency"]
    assert latency["lower_value"] < latency["value"] < latency["upper_value"]


# ---- OpenMetrics


def families(run):
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    return {family.name: family for family in parser.text_string_to_metric_families(openmetrics.render(run))}


def test_prometheus_reads_the_percentiles(runs):
    samples = families(runs.of("passed"))["llmperf_latency_seconds"].samples
    assert {
        sample.labels["quantile"]: sample.value for sample in samples if "quantile" in sample.labels
    } == pytest.approx({"0.5": 0.1089783895, "0.95": 0.1258626368, "0.99": 0.13051391544})


def test_prometheus_reads_every_kind_of_run(runs):
    assert len(families(runs.everything())["llmperf_requests"].samples) == 11


def test_prometheus_reads_a_run_without_scenarios(runs):
    assert families(runs.of()) == {}


def test_the_outcome_is_one_among_all(runs):
    samples = families(runs.of("regressed"))["llmperf_outcome"].samples
    assert [sample.labels["outcome"] for sample in samples if sample.value] == ["regressed"]


def test_the_older_text_format_reads_the_same(runs):
    parser = pytest.importorskip("prometheus_client.parser")
    found = {
        family.name: family.type
        for family in parser.text_string_to_metric_families(openmetrics.render(runs.everything()))
    }
    assert (found["llmperf_latency_seconds"], found["llmperf_outcome"]) == ("summary", "gauge")


def test_a_quote_in_a_label_stays_a_quote(runs):
    scenario = runs.judged(runs.measured(model='a"b\\c'))
    samples = families(runs.run_of(scenario))["llmperf_requests"].samples
    assert samples[0].labels["model"] == 'a"b\\c'


@pytest.mark.parametrize(("limit", "observed"), [(0.9, 0.88), (0.8, 0.76)])
def test_a_share_with_exactly_1_2_times_the_failures_allowed_is_a_warning(runs, limit, observed):
    """In binary, 1 - 0.9 is a little less than 0.1."""
    check = {"metric": "json_valid", "statistic": "rate", "unit": "", "limit": limit, "observed": observed}
    assert alert_lines(broken(runs, **check))[0]["severity"] == "warning"
