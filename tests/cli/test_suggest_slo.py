"""``llmperf suggest-slo``: limits that slo.yaml takes as they are."""

from __future__ import annotations

import datetime as dt
import random

import pytest

from pytest_llmperf.cli import main
from pytest_llmperf.core.baseline import StoredRun
from pytest_llmperf.core.measurement import Count
from pytest_llmperf.slo_yaml.file import load, matches
from pytest_llmperf.stores.directory import DirectoryStore

TODAY = dt.date(2026, 1, 1)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = DirectoryStore(tmp_path / ".llmperf" / "baselines")

    def store_run(scenario: str, latency_s: list[float], *, day: int = 1, **more) -> None:
        run = StoredRun(
            scenario=scenario,
            saved=f"2026-01-{day:02d}T00:00:00+00:00",
            facts={"backend kind": "mock", **more.pop("facts", {})},
            series={"latency_s": tuple(latency_s), **more.pop("series", {})},
            **more,
        )
        store.save(run, append=True)

    return store_run


@pytest.fixture
def suggested(tmp_path, capsys):
    """The printed text, and slo.yaml as it is read back."""

    def run(*arguments: str):
        assert main(["suggest-slo", *arguments]) == 0
        text = capsys.readouterr().out
        (tmp_path / "slo.yaml").write_text(text, "utf-8")
        return text, load(tmp_path / "slo.yaml", today=TODAY)

    return run


def bound(slo_file, scenario: str, name: str) -> float:
    (layer,) = slo_file.patterns(scenario)
    return layer[name].bound


def test_a_limit_is_the_slowest_runs_p95_and_the_margin_rounded_up(stored, suggested):
    for day, latency_s in enumerate((0.100, 0.1011, 0.1002), start=1):
        stored("t.py::test_chat", [latency_s] * 100, day=day)
    text, slo_file = suggested()
    assert bound(slo_file, "t.py::test_chat", "latency p95") == pytest.approx(0.13)  # 0.1213, rounded up
    assert "20 % more" in text
    assert "101 ms in the slowest of 3 runs (n=300)" in text


def test_the_margin_can_be_asked_for(stored, suggested):
    stored("t.py::test_chat", [0.1] * 100)
    text, slo_file = suggested("--margin=50%")
    assert bound(slo_file, "t.py::test_chat", "latency p95") == pytest.approx(0.15)
    assert "50 % more" in text


def test_runs_that_differ_widen_the_margin_and_it_says_so(stored, suggested):
    rng = random.Random(1)
    for day, factor in enumerate((1.0, 1.3, 0.8, 1.2), start=1):
        stored("t.py::test_chat", [0.1 * factor * rng.lognormvariate(0, 0.02) for _ in range(200)], day=day)
    text, _ = suggested()
    assert "3 times the noise between stored runs" in text
    assert "and 20 % more" not in text


def test_ttft_has_a_limit_where_it_was_measured(stored, suggested):
    stored("t.py::test_chat", [0.1] * 100, series={"ttft_s": (0.05,) * 100})
    _, slo_file = suggested()
    assert bound(slo_file, "t.py::test_chat", "ttft p95") == pytest.approx(0.06)


def test_a_share_below_one_gets_the_lower_end_of_its_interval(stored, suggested):
    counts = {"json_valid": Count(successes=190, trials=200), "pass_rate": Count(successes=200, trials=200)}
    stored("t.py::test_chat", [0.1] * 200, proportions=counts)
    _, slo_file = suggested()
    assert bound(slo_file, "t.py::test_chat", "json_valid rate") == 0.91
    (layer,) = slo_file.patterns("t.py::test_chat")
    assert "pass_rate rate" not in layer  # 1.0 is the default


def test_the_brackets_of_a_parametrised_test_stand_for_themselves(stored, suggested):
    stored("t.py::test_chat[a*-ü]", [0.1] * 100)
    _, slo_file = suggested()
    (pattern,) = slo_file.scenarios
    assert matches("t.py::test_chat[a*-ü]", pattern)
    assert not matches("t.py::test_chat[ab-ü]", pattern)


def test_a_pool_is_told_in_a_comment(stored, suggested):
    stored("frontdoor", [0.1] * 100)
    text, slo_file = suggested()
    assert slo_file.scenarios == {}
    assert "#   p95_ms: 120" in text


def test_of_two_environments_the_one_measured_last_counts(stored, suggested):
    stored("t.py::test_chat", [0.5] * 100, day=1, facts={"hardware": "old"})
    stored("t.py::test_chat", [0.1] * 100, day=2, facts={"hardware": "new"})
    _, slo_file = suggested()
    assert bound(slo_file, "t.py::test_chat", "latency p95") == pytest.approx(0.12)


def test_nothing_stored_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["suggest-slo"]) == 2
    assert "pytest --save-baseline" in capsys.readouterr().err


def test_a_margin_below_nothing_is_refused(stored, capsys):
    with pytest.raises(SystemExit):
        main(["suggest-slo", "--margin=-10%"])
    assert "--margin" in capsys.readouterr().err
