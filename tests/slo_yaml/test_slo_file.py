from __future__ import annotations

import datetime as dt
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.backend import Timeouts
from pytest_llmperf.core.baseline import MUST_MATCH, SHOWN
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.price import Price
from pytest_llmperf.slo_yaml import schema as slo_schema
from pytest_llmperf.slo_yaml.document import Document
from pytest_llmperf.slo_yaml.file import Accepted, SloFile, load, matches

ROOT = Path(__file__).parents[2]
TODAY = dt.date(2026, 11, 21)


@pytest.fixture
def read(tmp_path):
    """Reads an slo.yaml with the given text."""

    def reading(text: str) -> SloFile:
        path = tmp_path / "slo.yaml"
        path.write_text(text, "utf-8")
        return load(path, today=TODAY)

    return reading


@pytest.fixture
def refusal(read):
    """What is said of an slo.yaml that cannot be used."""

    def refusing(text: str) -> str:
        with pytest.raises(LlmPerfUsageError) as error:
            read(text)
        assert "\n" not in str(error.value)
        return str(error.value)

    return refusing


# What is read


def test_the_repositorys_own_file_can_be_used():
    file = load(ROOT / "examples" / "assistant" / "slo.yaml", today=TODAY)
    assert {"router", "orchestrator", "chat"} <= set(file.roles)
    assert file.roles["router"].slo["latency p95"].bound == 0.15


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "{}\n"])
def test_an_empty_file_says_nothing(read, text):
    assert read(text) == SloFile()


EVERYTHING = """
version: 1
defaults: {iterations: 40, max_regression: 10%}
backends:
  vllm:
    kind: openai
    url: http://h:8000/v1
    model: qwen
    api_key_env: KEY
    hardware: RTX 4060
    timeouts: {connect: 300ms, first_token: 10s, stall: 5, total: 2m}
    slo: {router: {p95_ms: 150}}
roles:
  router:
    temperature: 0.0
    max_tokens: 128
    params: {logprobs: true}
    budget: {input_tokens: 600, output_tokens: 128}
    slo: {p50_ms: 100, json_valid: 99%}
scenarios:
  "tests/*::test_router": {role: router, warmup: 2}
prices: {qwen: {input_per_million_usd: 0.05, output_per_million_usd: 0.10}}
accept: {"*::test_router": {max_regression: 30%, until: 2027-01-31, reason: "bigger prompt"}}
baseline: {must_match: [hardware, model]}
mock: {latency: {ttft: "lognormal(55ms, 0.1)"}}
"""


def test_defaults_are_checked_arguments(read):
    assert read(EVERYTHING).defaults == {"iterations": 40, "max_regression": 0.1}


def test_a_backend_has_its_words(read):
    backend = read(EVERYTHING).backends["vllm"]
    assert (backend.kind, backend.url, backend.model) == ("openai", "http://h:8000/v1", "qwen")
    assert (backend.api_key_env, backend.hardware) == ("KEY", "RTX 4060")
    assert backend.timeouts == Timeouts(connect_s=0.3, first_token_s=10, stall_s=5, total_s=120)
    assert backend.slo["router"]["latency p95"].bound == 0.15


def test_what_a_backend_does_not_say_is_none(read):
    backend = read("backends: {mine: {url: http://h}}").backends["mine"]
    assert (backend.kind, backend.model, backend.timeouts) == (None, None, Timeouts())


def test_a_role_has_parameters_budget_and_promises(read):
    role = read(EVERYTHING).roles["router"]
    assert role.params == {"temperature": 0.0, "max_tokens": 128, "logprobs": True}
    assert {name: limit.bound for name, limit in role.slo.items()} == {
        "input_tokens max": 600,
        "output_tokens max": 128,
        "latency p50": 0.1,
        "json_valid rate": 0.99,
    }


def test_a_promise_of_a_role_is_stronger_than_its_budget(read):
    role = read("roles: {a: {budget: {output_tokens: 9}, slo: {output_tokens: 5}}}").roles["a"]
    assert role.slo["output_tokens max"].bound == 5


def test_prices_have_the_models_name(read):
    assert read(EVERYTHING).prices == {"qwen": Price(input_per_million_usd=0.05, output_per_million_usd=0.10)}


@pytest.mark.parametrize("until", ["2027-01-31", '"2027-01-31"'])
def test_a_date_needs_no_quotes(read, until):
    text = f"accept: {{a: {{max_regression: 30%, until: {until}, reason: b}}}}"
    assert read(text).accept["a"] == Accepted(max_regression=0.3, until=dt.date(2027, 1, 31), reason="b")


def test_an_entry_holds_on_its_last_day(read):
    assert read(f"accept: {{a: {{max_regression: 30%, until: {TODAY}, reason: b}}}}").accept


def test_what_must_match_can_be_changed(read):
    assert read(EVERYTHING).must_match == ("hardware", "model")


def test_what_must_match_has_a_default(read):
    assert read("version: 1").must_match == MUST_MATCH


def test_anchors_and_merges_are_resolved(read):
    file = read(
        """
roles:
  base: &base
    temperature: 0.0
    slo: &slo {p95_ms: 150, p50_ms: 100}
  router:
    <<: *base
    max_tokens: 5
    slo:
      <<: *slo
      p95_ms: 200
"""
    )
    assert file.roles["router"].params == {"temperature": 0.0, "max_tokens": 5}
    assert file.roles["router"].slo["latency p95"].bound == 0.2
    assert file.roles["router"].slo["latency p50"].bound == 0.1


# Patterns


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("tests/test_a.py::test_b", True),
        ("tests/test_a.py::*", True),
        ("*::test_b", True),
        ("*::test_b[[]x]", True),
        ("*", True),
        ("test_b", False),
        ("tests/test_a.py::test_c", False),
        ("*::TEST_B", False),
    ],
)
def test_a_pattern_is_a_glob_with_or_without_parameters(pattern, meant):
    assert matches("tests/test_a.py::test_b[x]", pattern) is meant


def test_patterns_apply_in_the_order_of_the_file(read):
    file = read('scenarios: {"*": {warmup: 1}, "*::c": {warmup: 9}, "*::b": {warmup: 2}}')
    assert [layer["warmup"] for layer in file.patterns("a.py::b")] == [1, 2]


# What is refused, in one line that names the line and the path


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "roles:\n  chat:\n    slo:\n      p50_ms: 1\n      p95_mss: 1\n",
            'slo.yaml:5  roles.chat.slo.p95_mss  is not an SLO key. Did you mean "p95_ms"?',
        ),
        ("scenario: {}", 'slo.yaml:1  scenario  is not a key here. Did you mean "scenarios"?'),
        (
            "references: {gpt-4: {zzz: 1}}",
            "slo.yaml:1  references.gpt-4.zzz  is not an SLO key.",
        ),
        (
            "defaults: {load: {abort_on: {qqq: 1}}}",
            "slo.yaml:1  defaults.load.abort_on.qqq  is not an SLO key. Known: error_rate, p95_ms, p95_s.",
        ),
        (
            "backends:\n  vllm:\n    ulr: http://h\n",
            'slo.yaml:3  backends.vllm.ulr  is not a key here. Did you mean "url"?',
        ),
        (
            "\n\ndefaults:\n\n  iterations: many\n",
            "slo.yaml:5  defaults.iterations  'many' is not a whole number.",
        ),
        ("defaults: {p95_ms: 150ms}", "slo.yaml:1  defaults.p95_ms  '150ms' is not a number."),
        ("defaults: {p95_ms: yes}", "slo.yaml:1  defaults.p95_ms  True is not a number."),
        ("defaults: {p95_ms: }", "slo.yaml:1  defaults.p95_ms  is empty."),
        ("roles:\n", "slo.yaml:1  roles  is empty."),
        ("defaults: {role: ''}", "slo.yaml:1  defaults.role  is empty."),
        ("defaults: {cases: []}", "slo.yaml:1  defaults.cases  is empty."),
        (
            "defaults: {p95_ms: -1}",
            "slo.yaml:1  defaults.p95_ms  -1 is out of range; expected more than 0.",
        ),
        (
            "defaults: {p95_ms: .inf}",
            "slo.yaml:1  defaults.p95_ms  p95_ms: inf is out of range; expected a number above 0.",
        ),
        (
            "defaults: {iterations: 0}",
            "slo.yaml:1  defaults.iterations  0 is out of range; expected at least 1.",
        ),
        (
            "roles: {a: {top_p: 2}}",
            "slo.yaml:1  roles.a.top_p  2 is out of range; expected at most 1.",
        ),
        (
            "defaults:\n  json_valid: 98\n",
            "slo.yaml:2  defaults.json_valid  98 is not a share such as 0.98 or 98%.",
        ),
        (
            "defaults: {max_regression: 10}",
            "slo.yaml:1  defaults.max_regression  10 is not a share such as 0.10 or 10%.",
        ),
        (
            "backends: {a: {timeouts: {total: soon}}}",
            "slo.yaml:1  backends.a.timeouts.total  'soon' is not a duration such as 30s or 300ms.",
        ),
        (
            "backends: {a: {kind: vllm}}",
            "slo.yaml:1  backends.a.kind  'vllm' is not one of mock, openai, ollama.",
        ),
        ("version: 2", "slo.yaml:1  version  2 is not supported, 1 is."),
        (
            "defaults:\n  gate:\n    - p95_ms\n    - p95_mss\n",
            "slo.yaml:4  defaults.gate[1]  'p95_mss' is not known here. Did you mean \"p95_ms\"?",
        ),
        (
            "defaults: {gate: [mean_ms]}",
            (
                "slo.yaml:1  defaults.gate  gate: 'mean_ms' cannot be compared with a baseline; percentiles "
                "of times and proportions can; expected a list of SLO keys to compare with the baseline, "
                "such as ['p95_ms', 'ttft_p95_ms']."
            ),
        ),
        (
            "defaults: {p95_ms: 150, p95_s: 1}",
            "slo.yaml:1  defaults.p95_s  p95_s: p95_ms limits the same already; keep one of them.",
        ),
        (
            "baseline: {must_match: [hardwear]}",
            (
                "slo.yaml:1  baseline.must_match[0]  'hardwear' is not one of "
                f"{', '.join((*MUST_MATCH, *SHOWN))}."
            ),
        ),
        ("roles: [router]", "slo.yaml:1  roles  ['router'] is not a mapping."),
        (
            "roles: {router: {}}\nscenarios:\n  a:\n    role: ruoter\n",
            "slo.yaml:4  scenarios.a.role  'ruoter' is not under roles:. Did you mean \"router\"?",
        ),
        (
            "accept:\n  a: {max_regression: 30%}\n",
            "slo.yaml:2  accept.a  lacks until, reason.",
        ),
        (
            "accept:\n  a:\n    until: 31.1.2027\n    max_regression: 30%\n    reason: b\n",
            "slo.yaml:3  accept.a.until  '31.1.2027' is not a date such as 2027-01-31.",
        ),
        (
            "accept:\n  a:\n    until: 2027-02-30\n    max_regression: 30%\n    reason: b\n",
            "slo.yaml:3  accept.a.until  '2027-02-30' is not a date such as 2027-01-31.",
        ),
        (
            "accept:\n  a:\n    until: 2027-01-31\n    max_regression: 0%\n    reason: b\n",
            (
                "slo.yaml:4  accept.a.max_regression  '0%' is out of range; "
                "expected a share such as 0.10 or '10%'."
            ),
        ),
        (
            "accept:\n  a:\n    reason: b\n    until: 2026-11-20\n    max_regression: 30%\n",
            (
                "slo.yaml:4  accept.a.until  2026-11-20 is past. Remove the entry and save a new baseline "
                "(pytest --save-baseline), or move the date."
            ),
        ),
        # Alternatives: what was probably meant
        (
            "mock:\n  replies:\n    - {contains: a, text: b}\n    - {contains: a, tekst: b}\n",
            'slo.yaml:4  mock.replies[1].tekst  is not a key here. Did you mean "text"?',
        ),
        (
            "mock:\n  replies:\n    - {contains: 3, text: b}\n",
            "slo.yaml:3  mock.replies[0].contains  3 is not a text, or a list of texts.",
        ),
        (
            "mock:\n  replies:\n    - {text: a, json: {}}\n",
            (
                "slo.yaml:3  mock.replies[0]  has text and json; "
                "expected one of text, json, template, tool_calls, sequence, include."
            ),
        ),
        (
            "mock:\n  replies:\n    - {contains: a}\n",
            (
                "slo.yaml:3  mock.replies[0]  has no answer; "
                "expected one of text, json, template, tool_calls, sequence, include."
            ),
        ),
        (
            "mock:\n  latency:\n    prefill: 100\n",
            "slo.yaml:3  mock.latency.prefill  100 is not a duration with its unit, such as 55ms.",
        ),
        (
            "mock: {latency: {ttft: 55}}\n",
            (
                "slo.yaml:1  mock.latency.ttft  55 is not a distribution such as lognormal(55ms, 0.1), "
                "or a duration such as 55ms."
            ),
        ),
        # YAML itself
        (
            "roles:\n\trouter: {}\n",
            (
                "slo.yaml:2  is not YAML: found character '\\t' that cannot start any token; "
                "indent with spaces, not tabs."
            ),
        ),
        ("a: [1\nb: 2\n", "slo.yaml:2  is not YAML: expected ',' or ']', but got ':'."),
        ("a: 1\n---\nb: 2\n", "slo.yaml:2  is not YAML: but found another document."),
        ("a: *nobody", "slo.yaml:1  is not YAML: found undefined alias 'nobody'."),
        ("a: !!python/name:os.system", None),
        ("- a\n- b\n", "slo.yaml:1  is no mapping; expected keys such as version: 1 and backends:."),
        ("just words", "slo.yaml:1  is no mapping; expected keys such as version: 1 and backends:."),
        ("roles:\n  a: {}\n  b: {}\n  a: {}\n", "slo.yaml:4  roles.a  is there twice."),
        (
            "mock:\n  replies:\n    - {text: a}\n    - text: b\n      text: c\n",
            "slo.yaml:5  mock.replies.text  is there twice.",
        ),
        ("roles:\n  on: {}\n", "slo.yaml:2  roles.on  is no text as a key; write it in quotes."),
        ("prices:\n  4: {}\n", "slo.yaml:2  prices.4  is no text as a key; write it in quotes."),
        ("roles: &loop\n  a: *loop\n", "slo.yaml:1  roles.a  contains itself."),
        # Merged values are named where they stand
        (
            "roles:\n  a: &a\n    max_tokens: 0\n  b:\n    <<: *a\n    temperature: 0\n",
            "slo.yaml:3  roles.a.max_tokens  0 is out of range; expected at least 1.",
        ),
        (
            "defaults:\n  <<: [{p95_ms: 1}, {p95: 2}]\n",
            'slo.yaml:2  defaults.p95  is not an SLO key. Did you mean "p95_ms"?',
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(refusal, text, sentence):
    said = refusal(text)
    if sentence is None:
        assert said.startswith("slo.yaml:1  is not YAML: could not determine a constructor")
    else:
        assert said == sentence


def test_the_first_of_several_mistakes_is_named(refusal):
    assert refusal("roles: {a: {top_p: 7}}\nversion: 3\nbackends: {a: {kind: x}}").startswith("slo.yaml:1 ")


def test_a_long_value_is_cut(refusal):
    assert len(refusal(f"defaults: {{p95_ms: {'x' * 5000}}}")) < 150


def test_a_mistake_in_the_mock_names_its_line(refusal):
    assert refusal("mock:\n  latency:\n    ttft: 5\n    tttft: 6\n").startswith("slo.yaml:")


def test_text_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "slo.yaml"
    path.write_bytes("roles: {ı: {}}".encode("utf-16"))
    with pytest.raises(LlmPerfUsageError, match=r"cannot be read .*expected a YAML file in UTF-8"):
        load(path, today=TODAY)


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(LlmPerfUsageError, match="cannot be read"):
        load(tmp_path, today=TODAY)


def test_control_characters_are_refused(refusal):
    assert refusal("a: \x00").startswith("slo.yaml  is not YAML: unacceptable character #x0000")


def test_what_is_nested_without_end_is_refused(refusal):
    assert refusal("a: " + "[" * 100_000) == "slo.yaml  is nested too deeply."


@given(st.text(alphabet="ab:[]{}-&*<>!|#'\"\n\t 01%", max_size=40))
def test_any_text_is_read_or_refused(text):
    with suppress(LlmPerfUsageError):
        Document.parse("slo.yaml", text).check(slo_schema.build())
