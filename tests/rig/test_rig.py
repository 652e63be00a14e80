from __future__ import annotations

import datetime as dt
import itertools
import re
from pathlib import Path

import pytest

from pytest_llmperf.core.baseline import MUST_MATCH, StoredRun
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.terms import Rule
from pytest_llmperf.options import BASELINE_ITERATIONS, GateMode, Options
from pytest_llmperf.rig.rig import Rig
from pytest_llmperf.slo_yaml.file import Role, SloFile, load

ID = "tests/test_a.py::test_router"


@pytest.fixture
def rig_of(tmp_path):
    """Makes a Rig of an slo.yaml's text and options."""

    def making(text: str = "", **options) -> Rig:
        path = tmp_path / "slo.yaml"
        path.write_text(text, "utf-8")
        slo_file = load(path, today=dt.date(2026, 11, 21))
        return Rig.of(Options(**options), slo_file, root=tmp_path)

    return making


def marked(*marks):
    """Marks from the outermost to the innermost."""
    return [(arguments, f"test_a.py:{10 + number}  @llm_slo") for number, arguments in enumerate(marks)]


# The order of the layers

#: Each layer's way to say 1, 2, 3 ... of p95_ms, from the weakest to the strongest.
LAYERS = (
    "defaults",
    "role",
    "pattern",
    "later pattern",
    "module",
    "class",
    "function",
    "backend, by role",
    "backend, by name",
)


def promised(rig_of, layers):
    """What p95 is promised, in ms, when just these layers speak, each by its own number."""
    says = {name: f"{{p95_ms: {LAYERS.index(name) + 1}}}" if name in layers else "{}" for name in LAYERS}
    rig = rig_of(
        f"""
defaults: {says["defaults"]}
roles: {{router: {{slo: {says["role"]}}}}}
scenarios:
  "*": {says["pattern"].replace("{", "{role: router, ", 1).replace(", }", "}")}
  "*::test_router": {says["later pattern"]}
backends:
  mock:
    slo:
      router: {says["backend, by role"]}
      "*::test_router": {says["backend, by name"]}
"""
    )
    marks = marked(*({"p95_ms": LAYERS.index(name) + 1} if name in layers else {} for name in LAYERS[4:7]))
    return round(rig.slo(ID, marks).limit("latency", "p95").bound * 1000)


@pytest.mark.parametrize(("weak", "strong"), list(itertools.pairwise(LAYERS)))
def test_each_layer_is_stronger_than_the_one_before(rig_of, weak, strong):
    assert promised(rig_of, {weak, strong}) == LAYERS.index(strong) + 1


def test_the_strongest_of_all_layers_wins(rig_of):
    assert promised(rig_of, set(LAYERS)) == len(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_is_heard(rig_of, layer):
    assert promised(rig_of, {layer}) == LAYERS.index(layer) + 1


def test_layers_that_say_different_things_add_up(rig_of):
    rig = rig_of("defaults: {p50_ms: 100}")
    slo = rig.slo(ID, marked({"p95_ms": 150}, {"json_valid": 0.9}))
    assert {limit.key for limit in slo.limits} == {"p50_ms", "p95_ms", "json_valid"}


def test_the_ini_file_is_stronger_than_the_slo_file(rig_of):
    assert rig_of("defaults: {iterations: 40}", defaults={"iterations": 50}).slo(ID, []).iterations == 50


def test_a_mark_is_stronger_than_the_ini_file(rig_of):
    assert rig_of(defaults={"iterations": 50}).slo(ID, marked({"iterations": 60})).iterations == 60


def test_the_command_line_is_stronger_than_all(rig_of):
    rig = rig_of("backends: {mock: {slo: {'*': {iterations: 70}}}}", overrides={"iterations": 80})
    assert rig.slo(ID, marked({"iterations": 60})).iterations == 80


@pytest.mark.parametrize("where", ["defaults", "scenarios", "mark"])
def test_a_role_can_be_given_anywhere(rig_of, where):
    text = "roles: {router: {slo: {p95_ms: 150}}}\n"
    said = {"defaults": "defaults: {role: router}", "scenarios": "scenarios: {'*': {role: router}}"}
    text += said.get(where, "")
    slo = rig_of(text).slo(ID, marked({"role": "router"}) if where == "mark" else [])
    assert (slo.role, slo.limit("latency", "p95").bound) == ("router", 0.15)


def test_the_innermost_role_is_the_role(rig_of):
    rig = rig_of("roles: {a: {slo: {p95_ms: 1}}, b: {slo: {p95_ms: 2}}}\nscenarios: {'*': {role: a}}")
    assert rig.slo(ID, marked({"role": "b"})).limit("latency", "p95").bound == 0.002


def test_an_unknown_role_is_named_with_the_mark(rig_of):
    with pytest.raises(LlmPerfUsageError) as error:
        rig_of("roles: {router: {}}").slo(ID, marked({}, {"role": "ruoter"}))
    assert str(error.value) == (
        "test_a.py:11  @llm_slo  role: 'ruoter' is not under roles: in slo.yaml. Did you mean \"router\"?"
    )


def test_a_bad_argument_is_named_with_its_mark(rig_of):
    with pytest.raises(LlmPerfUsageError, match=r'test_a\.py:10  @llm_slo  p95 is not .* "p95_ms"\?'):
        rig_of().slo(ID, marked({"p95": 1}, {}))


def test_the_budget_of_a_role_is_a_limit(rig_of):
    rig = rig_of("roles: {router: {budget: {output_tokens: 128}}}\ndefaults: {role: router}")
    assert rig.slo(ID, []).limit("output_tokens", "max").bound == 128


def test_a_limit_for_another_backend_does_not_hold(rig_of):
    rig = rig_of("backends: {vllm: {slo: {'*': {p95_ms: 150}}}}")
    assert rig.slo(ID, []).limits == ()


def test_a_backend_limits_a_pooled_scenario_by_its_name(rig_of):
    rig = rig_of("backends: {mock: {slo: {frontdoor: {p95_ms: 150}}}}")
    assert rig.slo(ID, marked({"scenario": "frontdoor"})).limits
    assert not rig.slo(ID, []).limits


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("routr", 'slo.yaml  backends.mock.slo.routr: no role.*Did you mean "router"'),
        ("router", None),  # a role
        ("frontdoor", None),  # a pooled scenario
        ("'*::test_other'", None),  # of a test that was not selected
    ],
)
def test_limits_under_a_name_that_nobody_has_are_told(rig_of, target, said):
    rig = rig_of(f"{{roles: {{router: {{}}}}, backends: {{mock: {{slo: {{{target}: {{p95_ms: 150}}}}}}}}}}")
    warnings = rig.strangers({"frontdoor", ID})
    assert [bool(re.search(said, warning)) for warning in warnings] == [True] if said else warnings == []


def test_an_accepted_regression_is_allowed(rig_of):
    rig = rig_of(
        "accept: {'*::test_router': {max_regression: 30%, until: 2027-01-31, reason: bigger prompt}}"
    )
    assert rig.slo(ID, marked({"max_regression": 0.05})).max_regression == pytest.approx(0.3)
    assert rig.slo("tests/test_a.py::test_chat", []).max_regression == pytest.approx(0.1)


def test_an_accepted_regression_never_allows_less_than_the_mark_does(rig_of):
    rig = rig_of("accept: {'*': {max_regression: 30%, until: 2027-01-31, reason: bigger prompt}}")
    assert rig.slo(ID, marked({"max_regression": 0.5})).max_regression == pytest.approx(0.5)


# How often


def test_the_first_look_is_raised_whoever_asked_for_less(rig_of):
    slo = rig_of(overrides={"iterations": 40}).slo(ID, marked({"p99_ms": 1}))
    assert (slo.iterations, slo.notes) == (
        100,
        ("first look raised from 40 to 100 samples, which p99 needs",),
    )


def test_a_cap_on_the_command_line_is_kept(rig_of):
    slo = rig_of(overrides={"max_iterations": 20}).slo(ID, marked({"p99_ms": 1, "iterations": 60}))
    assert (slo.iterations, slo.max_iterations) == (20, 20)
    assert slo.notes == ("p99 needs 100 samples, and at most 20 are taken",)


def test_a_saved_baseline_has_enough_samples(rig_of):
    slo = rig_of(save_baseline=True).slo(ID, marked({"iterations": 40}))
    assert (slo.iterations, slo.max_iterations) == (BASELINE_ITERATIONS, BASELINE_ITERATIONS)


def test_a_saved_baseline_has_what_a_percentile_needs(rig_of):
    slo = rig_of(append_baseline=True).slo(ID, marked({"p999_ms": 40}))
    assert (slo.iterations, slo.max_iterations) == (1000, 1000)


def test_a_mark_may_ask_for_more_samples_in_a_baseline(rig_of):
    assert rig_of(save_baseline=True).slo(ID, marked({"iterations": 400})).iterations == 400


def test_the_command_line_may_ask_for_fewer_samples_in_a_baseline(rig_of):
    assert rig_of(save_baseline=True, overrides={"iterations": 50}).slo(ID, []).iterations == 50


def test_what_is_not_judged_takes_one_look(rig_of):
    assert rig_of(gate=GateMode.OFF).slo(ID, []).max_iterations == 30


def test_a_first_look_past_the_cap_raises_it(rig_of):
    assert rig_of(overrides={"iterations": 600}).slo(ID, []).max_iterations == 600


def test_a_quick_look_is_quick(rig_of):
    slo = rig_of(quick=True).slo(ID, marked({"p999_ms": 4, "warmup": 9}))
    assert (slo.warmup, slo.iterations, slo.max_iterations, slo.notes) == (1, 3, 3, ())


# Roles, cases, stores


def test_a_role_has_the_parameters_of_its_requests(rig_of):
    assert rig_of("roles: {router: {temperature: 0.0}}").role("router").params == {"temperature": 0.0}


def test_no_role_has_no_parameters(rig_of):
    assert rig_of().role(None) == Role()


def test_a_role_that_is_not_there_is_refused(rig_of):
    with pytest.raises(LlmPerfUsageError, match=r"role 'ruoter' is not under roles: .* \"router\"\?"):
        rig_of("roles: {router: {}}").role("ruoter")


def taken(rig, cases, tmp_path):
    slo = rig.slo(ID, marked({"cases": cases} if cases else {}))
    found = rig.cases(slo, directory=tmp_path / "tests", scenario=ID)
    return None if found is None else sorted(itertools.islice(found, 2))


def test_a_scenario_without_cases_has_none(rig_of, tmp_path):
    assert taken(rig_of(), None, tmp_path) is None


def test_cases_may_stand_in_the_mark(rig_of, tmp_path):
    assert taken(rig_of(), ["b", "a"], tmp_path) == ["a", "b"]


@pytest.mark.parametrize("folder", [".", "tests"])
def test_a_file_of_cases_stands_beside_the_test_or_in_the_root(rig_of, tmp_path, folder):
    (tmp_path / "tests").mkdir()
    (tmp_path / folder / "cases.yaml").write_text("[b, a]")
    assert taken(rig_of(), "cases.yaml", tmp_path) == ["a", "b"]


def test_the_file_beside_the_test_is_the_nearer_one(rig_of, tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "cases.yaml").write_text("[c, d]")
    (tmp_path / "tests" / "cases.yaml").write_text("[b, a]")
    assert taken(rig_of(), "cases.yaml", tmp_path) == ["a", "b"]


def test_a_file_of_cases_that_is_nowhere_is_named_beside_the_test(rig_of, tmp_path):
    with pytest.raises(LlmPerfUsageError, match=str(Path("tests") / "cases.yaml")):
        taken(rig_of(), "cases.yaml", tmp_path)


def test_the_seed_changes_the_order_of_cases(rig_of, tmp_path):
    def order(seed):
        rig = rig_of(seed=seed)
        slo = rig.slo(ID, marked({"cases": list(range(40))}))
        return list(itertools.islice(rig.cases(slo, directory=tmp_path, scenario=ID), 40))

    assert order(1) == order(1) != order(2)


def saved(rig):
    rig.baselines.store.save(StoredRun(scenario=ID, saved="2026-05-01T00:00:00+00:00"), append=False)


def test_baselines_are_kept_under_the_root(rig_of, tmp_path):
    assert rig_of().baselines.store.root == tmp_path / ".llmperf" / "baselines"
    assert rig_of(baseline=tmp_path / "b").baselines.store.root == tmp_path / "b"


def test_what_must_match_comes_from_the_slo_file(rig_of):
    assert rig_of("baseline: {must_match: [model]}").baselines.history(ID).must_match == ("model",)
    assert rig_of().baselines.history(ID).must_match == MUST_MATCH


def test_what_is_stored_is_the_history(rig_of):
    saved(rig_of())
    assert len(rig_of().baselines.history(ID).runs) == 1


@pytest.mark.parametrize("options", [{"save_baseline": True}, {"quick": True}, {"ab": "vllm"}])
def test_a_session_that_compares_otherwise_has_no_history(rig_of, options):
    saved(rig_of())
    assert rig_of(**options).baselines.history(ID).runs == ()


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, Rule.PROVEN),
        ({"gate": GateMode.PLAIN}, Rule.PLAIN),
        ({"save_baseline": True, "gate": GateMode.PLAIN}, Rule.NONE),
        ({"append_baseline": True}, Rule.NONE),
    ],
)
def test_the_rule_follows_from_the_options(rig_of, options, rule):
    assert rig_of(**options).terms().rule is rule


# Backends


def test_a_backend_that_nobody_knows_is_refused_at_once(tmp_path):
    with pytest.raises(
        LlmPerfUsageError, match=r'--llm-backend: vlm is not a backend\. Did you mean "vllm"\? Built in or'
    ):
        Rig.build(Options(backend="vlm"), tmp_path)


def test_an_slo_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(LlmPerfUsageError, match=r"--llm-slo-file: .*other\.yaml does not exist"):
        Rig.build(Options(slo_file=tmp_path / "other.yaml"), tmp_path)


def test_a_store_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(LlmPerfUsageError, match="pytest --save-baseline makes it"):
        Rig.build(Options(baseline=tmp_path / "none"), tmp_path)


def test_a_store_that_is_not_there_can_be_saved_to(tmp_path):
    assert Rig.build(Options(baseline=tmp_path / "none", save_baseline=True), tmp_path)


def test_without_an_slo_file_there_is_none(tmp_path):
    assert Rig.build(Options(), tmp_path).slo_file == SloFile()


def test_the_mock_is_the_default(rig_of):
    assert rig_of().servers.are_mocked


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {"backend": "vllm"}),
        ("", {"url": "http://h"}),
        ("backends: {mock: {kind: mock, url: http://h}}", {}),
        ("backends: {mine: {url: http://h}}", {"backend": "mine"}),
    ],
)
def test_another_server_is_not_the_plugins_own_mock(rig_of, text, options):
    assert not rig_of(text, **options).servers.are_mocked


def test_the_files_words_fill_what_is_built_in(rig_of):
    entry = rig_of("backends: {vllm: {model: qwen}}", backend="vllm").servers.entry
    assert (entry.kind, entry.url, entry.model) == ("openai", "http://127.0.0.1:8000/v1", "qwen")


def test_the_command_line_is_stronger_than_the_entry(rig_of):
    entry = rig_of(
        "backends: {vllm: {model: qwen, url: http://h}}", backend="vllm", url="http://i", model="llama"
    ).servers.entry
    assert (entry.url, entry.model) == ("http://i", "llama")


def test_a_backend_without_a_url_is_refused(rig_of):
    with pytest.raises(LlmPerfUsageError, match=r"backend mine has no URL\. Give one with --llm-url"):
        _ = rig_of("backends: {mine: {kind: openai}}", backend="mine").servers.backend


def test_a_key_that_the_file_asks_for_has_to_be_set(rig_of, monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    rig = rig_of("backends: {mine: {url: http://127.0.0.1:9, api_key_env: MY_KEY}}", backend="mine")
    with pytest.raises(LlmPerfUsageError, match="the environment variable MY_KEY is not set"):
        _ = rig.servers.backend


def test_a_server_that_is_not_there_is_asked_once(rig_of, monkeypatch):
    rig = rig_of(url="http://127.0.0.1:9/v1", backend="vllm")
    with pytest.raises(LlmPerfUsageError) as first:
        _ = rig.servers.backend
    monkeypatch.setattr(rig.servers, "_selected", pytest.fail)
    with pytest.raises(LlmPerfUsageError) as second:
        _ = rig.servers.backend
    assert str(first.value) == str(second.value)
    assert "\n" not in str(first.value)


# Turns and time


def test_a_session_without_a_budget_is_never_out_of_time(rig_of):
    assert not rig_of().out_of_time


def test_a_spent_budget_is_noticed(rig_of):
    assert rig_of(max_time_s=-1.0).out_of_time


def test_a_turn_is_held_by_one(rig_of, tmp_path):
    rig = rig_of()
    rig.turn_lock = tmp_path / "turn"
    with rig.turn():
        assert rig.turn_lock.exists()


def test_alone_nobody_waits_for_a_turn(rig_of):
    with rig_of().turn():
        pass


def test_what_was_never_started_can_be_closed(rig_of):
    rig_of().close()
