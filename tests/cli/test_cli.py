"""``llmperf``: the functions of the plugin on files."""

from __future__ import annotations

import json
import random

import pytest

from pytest_llmperf.cli import main
from pytest_llmperf.core.baseline import StoredRun
from pytest_llmperf.reports.write import REPORTS
from pytest_llmperf.stores.directory import DirectoryStore


def times(median_s: float, n: int = 100, *, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [median_s * rng.lognormvariate(0, 0.05) for _ in range(n)]


def scenario(name: str, latency_s: list[float]) -> dict:
    """Nothing but the fields that other programs may rely on."""
    return {
        "id": f"tests/test_chat.py::{name}",
        "name": name,
        "backend": "vllm",
        "model": "qwen",
        "outcome": "passed",
        "checks": [],
        "series": {"latency_s": latency_s},
        "requests": {"sent": len(latency_s), "failed": 0},
        "tokens": {},
    }


@pytest.fixture
def run_json(tmp_path):
    def write(name: str, **latencies: list[float]):
        document = {
            "schema": "pytest-llmperf/run/1",
            "outcome": "passed",
            "environment": {},
            "scenarios": [scenario(test, values) for test, values in latencies.items()],
        }
        path = tmp_path / name
        path.write_text(json.dumps(document), encoding="utf-8")
        return str(path)

    return write


def test_a_proven_regression_exits_with_1_and_is_named(run_json, capsys):
    base, head = run_json("base.json", chat=times(0.1)), run_json("head.json", chat=times(0.15, seed=2))
    assert main(["compare", base, head]) == 1
    printed = capsys.readouterr().out
    assert "regressed" in printed
    assert "baseline" in printed
    assert "base.json" in printed


def test_an_unchanged_run_exits_with_0(run_json):
    runs = [run_json(f"{seed}.json", chat=times(0.1, seed=seed)) for seed in range(4)]
    assert main(["compare", *runs]) == 0


def test_several_earlier_runs_are_several_runs_of_the_baseline(run_json, capsys):
    runs = [run_json(f"{seed}.json", chat=times(0.1, seed=seed)) for seed in range(3)]
    assert main(["compare", *runs, run_json("head.json", chat=times(0.2))]) == 1
    assert "2.json and 2 more runs" in capsys.readouterr().out


def test_a_larger_allowance_lets_the_same_run_pass(run_json):
    base, head = run_json("base.json", chat=times(0.1)), run_json("head.json", chat=times(0.13, seed=2))
    assert main(["compare", base, head]) == 1
    assert main(["compare", "--max-regression=100%", base, head]) == 0


def test_strict_fails_what_has_no_baseline(run_json, capsys):
    base, head = run_json("base.json", other=times(0.1)), run_json("head.json", chat=times(0.1))
    assert main(["compare", base, head]) == 0
    assert main(["compare", "--strict=no_baseline", base, head]) == 1
    assert "was measured before and is missing now" in capsys.readouterr().out


def test_an_unknown_strict_word_is_refused_with_the_known_ones(run_json, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "--strict=everything", "a.json", "b.json"])
    assert stopped.value.code == 2
    assert "unproven" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "pytest-llmperf/run/99"}'])
def test_a_file_that_is_no_run_exits_with_2_and_is_named(tmp_path, capsys, text):
    path = tmp_path / "odd.json"
    path.write_text(text)
    assert main(["report", str(path)]) == 2
    printed = capsys.readouterr().err
    assert "odd.json" in printed
    assert "Traceback" not in printed


def test_a_missing_file_exits_with_2(capsys):
    assert main(["report", "no-such.json"]) == 2
    assert "no-such.json" in capsys.readouterr().err


def test_a_missing_file_is_told_with_what_writes_one(capsys):
    assert main(["report", "nope.json"]) == 2
    assert "nope.json does not exist; pytest --llm-report=nope.json writes one" in capsys.readouterr().err


def test_a_word_too_many_is_told_with_where_the_words_are_and_how_a_report_is_named(run_json, capsys):
    assert main(["report", run_json("run.json", chat=times(0.1)), "--html", "out.html"]) == 2
    told = capsys.readouterr().err
    assert "out.html: not known to llmperf report, whose words llmperf report --help lists" in told
    assert "A report's own name: --report out.html" in told


def test_report_writes_other_formats(run_json, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = run_json("run.json", chat=times(0.1))
    assert main(["report", run, "--report=out.md", "--report=out.csv"]) == 0
    assert "chat" in (tmp_path / "out.md").read_text("utf-8")
    assert "chat" in (tmp_path / "out.csv").read_text("utf-8")
    assert "report written: out.md" in capsys.readouterr().out


@pytest.fixture
def stored(tmp_path):
    """A baseline of an anchor and three more runs, each slower."""
    store = DirectoryStore(tmp_path / "baselines")
    for day in range(4):
        run = StoredRun(
            scenario="tests/test_chat.py::test_chat",
            saved=f"2026-01-0{day + 1}T00:00:00+00:00",
            commit=f"abc000{day}",
            branch="main",
            anchor=day == 0,
            facts={"backend kind": "openai"},
            series={
                "latency_s": tuple(times(0.1 + 0.01 * day)),
                "input_tokens": (12.0,) * 100,
                "cached_share": (0.0,) * 100,
            },
        )
        store.save(run, append=day > 0)
    return f"--baseline={store.root}"


def test_baseline_list_shows_each_scenario_with_its_runs(stored, capsys):
    assert main(["baseline", "list", stored]) == 0
    assert "tests/test_chat.py::test_chat  4 runs, 400 samples, newest 2026-01-04" in capsys.readouterr().out


def test_baseline_show_marks_the_anchor(stored, capsys):
    assert main(["baseline", "show", "chat", stored]) == 0
    anchors = [line for line in capsys.readouterr().out.splitlines() if "anchor" in line]
    assert len(anchors) == 1
    assert "main@abc0000" in anchors[0]


def test_baseline_show_has_every_series_in_its_unit(stored, capsys):
    assert main(["baseline", "show", "chat", stored]) == 0
    anchor = next(line for line in capsys.readouterr().out.splitlines() if "anchor" in line)
    assert "p95: cached share 0 %, input tokens 12, latency 1" in anchor
    assert anchor.endswith(" ms")


def test_baseline_diff_of_what_was_zero_has_no_percentage(stored, capsys):
    assert main(["baseline", "diff", stored]) == 0
    share = next(line for line in capsys.readouterr().out.splitlines() if "cached share" in line)
    assert share.endswith("-> 0 % (main@abc0003)")


def test_baseline_diff_compares_the_newest_run_with_the_anchor(stored, capsys):
    assert main(["baseline", "diff", stored]) == 0
    assert "(main@abc0000) -> " in (printed := capsys.readouterr().out)
    assert "+30.0 %" in printed


def test_baseline_diff_of_one_run_says_so(tmp_path, capsys):
    store = DirectoryStore(tmp_path)
    run = StoredRun(scenario="test_chat", saved="2026-01-01T00:00:00+00:00", series={"latency_s": (0.1,)})
    store.save(run, append=False)
    assert main(["baseline", "diff", f"--baseline={tmp_path}"]) == 0
    assert capsys.readouterr().out == "test_chat  one run, which nothing differs from yet\n"


def test_a_baseline_of_which_nothing_can_be_read_says_why(stored, tmp_path, capsys):
    for file in tmp_path.glob("baselines/*/*/*.json"):
        file.write_text(file.read_text().replace("main", "Main"))
    assert main(["baseline", "list", stored]) == 2
    said = capsys.readouterr().err
    assert said.count("its checksum is wrong") == 4
    assert "no baseline that can be read" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare", "a.json", "b.json", "--max-regression=0"], "0.0 is out of range; expected a share"),
        (["compare", "a.json", "b.json", "--max-regression=10"], "10.0 is out of range; expected a share"),
        (
            ["compare", "a.json", "b.json", "--max-regression=much"],
            "'much': expected a share such as 10% or 0.10",
        ),
        (["baseline", "prune", "--keep=-1"], "'-1': expected a whole number from 0"),
        (["suggest-slo", "--margin=inf"], "'inf': out of range; expected a share from 0"),
        (["suggest-slo", "--margin=-5%"], "'-5%' is not a share like 0.10 or '10%'"),
    ],
)
def test_a_bad_value_of_an_argument_says_what_was_expected(words, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert said in capsys.readouterr().err


def test_baseline_prune_keeps_the_newest_runs_and_the_anchor(stored, capsys):
    assert main(["baseline", "prune", "--keep=1", stored]) == 0
    assert capsys.readouterr().out.count("removed") == 2
    main(["baseline", "show", stored])
    kept = capsys.readouterr().out
    assert "abc0000" in kept
    assert "abc0003" in kept
    assert "abc0001" not in kept


def test_a_baseline_that_is_not_there_exits_with_2(tmp_path, capsys):
    assert main(["baseline", "list", f"--baseline={tmp_path}"]) == 2
    assert "no baseline" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["comparr"], '"compare"'), (["baseline", "shw"], '"show"'), (["reprot", "x"], '"report"')],
)
def test_an_unknown_command_names_the_nearest_one(words, meant, capsys):
    assert main(words) == 2
    assert f"Did you mean {meant}?" in capsys.readouterr().err


def test_report_takes_a_flag_for_every_format(run_json, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = run_json("run.json", chat=times(0.1))
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    assert main(["report", run, *(f"--{name}" for name in REPORTS)]) == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(written) == len(REPORTS)
    assert {"run.html", "run.md", "run.json", "run.bencher.json", "run.cache-savings.md"} <= set(written)
    assert capsys.readouterr().out.count("report written") == len(REPORTS)


def test_a_comparison_can_be_written_in_the_same_formats(run_json, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base, head = run_json("base.json", chat=times(0.1)), run_json("head.json", chat=times(0.15, seed=2))
    assert main(["compare", base, head, "--md", "--html"]) == 1
    assert "regressed" in (tmp_path / "comparison.md").read_text("utf-8")
    assert "regressed" in (tmp_path / "comparison.html").read_text("utf-8")


def test_a_report_never_replaces_the_run_that_it_is_made_from(run_json, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", run_json("run.json", chat=times(0.1)), "--json"]) == 2
    assert "another name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "terminal", "coloured"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    run_json, capsys, monkeypatch, variables, terminal, coloured
):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    main(["report", run_json("run.json", chat=times(0.1))])
    assert ("\x1b[" in capsys.readouterr().out) is coloured


def test_compare_hands_on_what_the_server_said_of_itself(run_json, tmp_path, capsys):
    for name, median, queue in (("base.json", 0.1, 0.0), ("head.json", 0.2, 0.1)):
        path = run_json(name, chat=times(median))
        document = json.loads((tmp_path / name).read_text("utf-8"))
        mean = {"total_s": 100 * queue, "count": 100, "mean_s": queue}
        document["scenarios"][0]["server"] = {"sources": ["vllm /metrics"], "queue": mean}
        (tmp_path / name).write_text(json.dumps(document), "utf-8")
    assert main(["compare", str(tmp_path / "base.json"), path]) == 1
    assert "queue 0 s then and 100 ms now" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_is_no_error(run_json):
    import subprocess
    import sys

    code = "import sys; from pytest_llmperf.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "report", run_json("run.json", chat=times(0.1))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), said) == (141, b"")


@pytest.mark.parametrize(
    "command", [["mock", "--port", "0"], ["record", "--upstream", "http://127.0.0.1:1", "--out", "new.jsonl"]]
)
def test_what_listens_refuses_another_address_than_loopback(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--host", "0.0.0.0"]) == 2
    assert "--host 0.0.0.0: it listens on 127.0.0.1 alone" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
