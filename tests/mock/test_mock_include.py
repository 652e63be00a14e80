"""Rules in files of their own, and the two sets of rules that are shipped as examples."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.config import parse_config
from pytest_llmperf.mock.conversation import Conversation
from pytest_llmperf.mock.rules import Rulebook

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SECTORS = yaml.safe_load((EXAMPLES / "sectors" / "sectors.yaml").read_text("utf-8"))["sectors"]


def say(config, text, *, system=""):
    said = Conversation(model="m", user=text, system=system, history=())
    return Rulebook(list(config.replies)).first(said)


@pytest.fixture
def rules(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "outer.yaml").write_text(
        "- {contains: a, text: outer}\n- include: inner.json\n", "utf-8"
    )
    (tmp_path / "shared" / "inner.json").write_text('[{"contains": "b", "text": "inner"}]', "utf-8")
    return tmp_path


def test_a_file_holds_all_rules(rules):
    config = parse_config({"replies": "shared/outer.yaml"}, folder=rules)
    assert [say(config, text).text for text in ("a", "b")] == ["outer", "inner"]


def test_included_rules_stand_where_they_are_included(rules):
    own = [{"contains": "a", "text": "first"}, {"include": "shared/outer.yaml"}, {"text": "rest"}]
    config = parse_config({"replies": own}, folder=rules)
    assert [say(config, text).text for text in ("a", "b", "c")] == ["first", "inner", "rest"]


def test_the_server_gets_the_rules_and_not_the_files(rules):
    section = json.loads(parse_config({"replies": "shared/outer.yaml"}, folder=rules).section)
    assert section["replies"] == [{"contains": "a", "text": "outer"}, {"contains": "b", "text": "inner"}]


def test_a_mistake_in_a_file_is_named_with_its_file(rules):
    (rules / "shared" / "inner.json").write_text('[{"contians": "b", "text": "inner"}]', "utf-8")
    with pytest.raises(LlmPerfUsageError, match=r"inner\.json\[0\]\.contians is not a key"):
        parse_config({"replies": "shared/outer.yaml"}, folder=rules)


def test_a_file_that_includes_itself_is_refused(rules):
    (rules / "shared" / "inner.json").write_text('[{"include": "outer.yaml"}]', "utf-8")
    with pytest.raises(LlmPerfUsageError, match=r"inner\.json\[0\]\.include: outer\.yaml includes itself"):
        parse_config({"replies": "shared/outer.yaml"}, folder=rules)


def test_one_file_may_be_included_twice(rules):
    twice = [{"include": "shared/inner.json"}, {"include": "shared/inner.json"}]
    assert len(parse_config({"replies": twice}, folder=rules).replies) == 2


@pytest.mark.parametrize(
    ("replies", "complaint"),
    [
        ("missing.yaml", "mock.replies: cannot read .*missing.yaml"),
        ([{"include": "missing.yaml"}], r"mock.replies\[0\].include: cannot read .*missing.yaml"),
        ([{"include": 3}], r"mock.replies\[0\].include: expected a text"),
        ([{"include": "x", "text": "y"}], r"mock.replies\[0\].text is not a key"),
        ({"text": "y"}, r"mock.replies: expected a list of rules or the name"),
    ],
)
def test_an_include_that_cannot_be_used_says_why(replies, complaint, tmp_path):
    with pytest.raises(LlmPerfUsageError, match=complaint):
        parse_config({"replies": replies}, folder=tmp_path, where="mock")


def test_a_file_that_holds_no_list_is_refused(tmp_path):
    (tmp_path / "rules.yaml").write_text("replies: []", "utf-8")
    with pytest.raises(LlmPerfUsageError, match="holds no list of rules"):
        parse_config({"replies": "rules.yaml"}, folder=tmp_path)


def test_a_test_adds_the_rules_of_a_file_in_their_order(mock, chat, rules):
    mock.reply("everything")
    mock.reply(include=str(rules / "shared" / "outer.yaml"))
    said = [chat(mock, text).json["choices"][0]["message"]["content"] for text in ("a b", "b", "c")]
    assert said == ["outer", "inner", "everything"]


def test_a_file_names_no_function_of_the_test(mock, rules):
    (rules / "shared" / "inner.json").write_text('[{"callback": 0}]', "utf-8")
    with pytest.raises(LlmPerfUsageError, match=r"inner\.json\[0\]\.callback: functions answer through"):
        mock.reply(include=str(rules / "shared" / "outer.yaml"))


# --- the assistant's patterns


@pytest.fixture(scope="module")
def assistant():
    return parse_config({"replies": str(EXAMPLES / "assistant" / "replies.yaml")})


@pytest.mark.parametrize(
    ("text", "route", "intent"),
    [
        ("hey bantz nasılsın", "smalltalk", "none"),
        ("MERHABA", "smalltalk", "none"),
        ("bugün neler yapacağız", "calendar", "query"),
        ("TAKVİMİMİ GÖSTER", "calendar", "query"),
        ("yarın saat 15'e toplantı ekle", "calendar", "create"),
        ("bugün hava nasıl", "smalltalk", "none"),
        ("kendini tanıt", "smalltalk", "none"),
        ("quantum chromodynamics", "unknown", "none"),
    ],
)
def test_the_assistants_patterns_are_routed(assistant, text, route, intent):
    assert json.loads(say(assistant, text).text) == {"route": route, "intent": intent}


@pytest.mark.parametrize(
    ("text", "word"), [("kendini tanıt", "Bantz"), ("bugün hava nasıl", "Hava"), ("selam", "Merhaba efendim")]
)
def test_the_assistants_chat_answers_its_patterns(assistant, text, word):
    assert word in say(assistant, f"SÖZ: {text}", system="Sen bir uşağın dilini konuşursun").text


# --- the sectors' keywords


@pytest.fixture(scope="module")
def sectors():
    return parse_config({"replies": str(EXAMPLES / "sectors" / "replies.yaml")})


def test_there_are_twenty_two_sectors():
    assert len(SECTORS) == 22


@pytest.mark.parametrize("name", SECTORS)
def test_every_word_of_a_sector_leads_to_it(sectors, name):
    found = {word: json.loads(say(sectors, f"Bir {word} sorum var").text)["sector"] for word in SECTORS[name]["keywords"]}  # noqa: E501  # fmt: skip
    assert found == dict.fromkeys(SECTORS[name]["keywords"], name)


@pytest.mark.parametrize(
    ("text", "sector"),
    [
        ("Banka kredisi almak istiyorum, faiz oranları nedir?", "finance_banking"),
        ("Hastane randevusu almak istiyorum, hangi doktorlar müsait?", "healthcare"),
        ("E-ticaret sitesi kurulumu için adımlar neler?", "ecommerce"),
        ("SİGORTA POLİÇEMİ YENİLEMEK İSTİYORUM", "insurance"),
        ("Mahallede elektrik kesintisi ne zaman biter?", "energy_distribution"),
        ("Bugün canım sıkılıyor", "general"),
    ],
)
def test_a_sentence_goes_to_its_sector(sectors, text, sector):
    assert json.loads(say(sectors, text).text)["sector"] == sector


def test_the_sectors_rules_are_those_that_the_script_makes():
    script = EXAMPLES / "sectors" / "make_replies.py"
    made = subprocess.run(
        [sys.executable, "-X", "utf8", script], capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert (EXAMPLES / "sectors" / "replies.yaml").read_text("utf-8") == made.stdout
