"""The router alone: certain answers, no model, no times."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from router import CONFIG, GENERAL, SectorRouter

CASES = yaml.safe_load(Path(__file__).with_name("cases.yaml").read_text(encoding="utf-8"))
SECTORS = CONFIG["sectors"]
FOUR_TOPICS = "kredi, kasko, ilaç ve deprem"


@pytest.fixture
def router():
    return SectorRouter()


def test_there_are_twenty_two_sectors_and_each_is_complete():
    keys = {"name", "description", "keywords", "adapter_path", "priority"}
    assert [set(sector) for sector in SECTORS.values()] == [keys] * 22
    assert [sector["priority"] for sector in SECTORS.values()] == list(range(1, 23))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["message"])
def test_the_right_sector_is_the_first_candidate(router, case):
    assert (router.candidates(case["message"]) or [GENERAL])[0] == case["sector"]


@pytest.mark.parametrize("sector", SECTORS)
def test_every_keyword_leads_to_its_sector_in_capitals_too(router, sector):
    for keyword in SECTORS[sector]["keywords"]:
        capitals = keyword.replace("i", "İ").upper()
        assert [router.candidates(said)[0] for said in (keyword, capitals)] == [sector] * 2


@pytest.mark.parametrize(
    ("said", "sector"),
    [
        ("kredim", "finance_banking"),
        ("telefon faturamı", "telecommunications"),
        ("ilacımı", "healthcare"),  # ç becomes c
        ("kitabım", "media_publishing"),  # p becomes b
        ("elektriğimiz", "energy"),  # k becomes ğ
        ("SINAVIM", "education"),  # I is not the capital of i
        ("SI\u0307GORTA", "insurance"),  # a dot of its own
    ],
)
def test_suffixes_and_capitals_do_not_matter(router, said, sector):
    assert router.candidates(said)[0] == sector


def test_a_keyword_inside_another_word_is_not_one(router):
    assert router.classify("revize") == []  # vize


def test_scores_are_shares_and_a_phrase_weighs_as_much_as_its_words(router):
    assert router.classify("elektrik kesintisi") == [
        ("energy_distribution", pytest.approx(2 / 3)),
        ("energy", pytest.approx(1 / 3)),
    ]


def test_what_scores_below_the_threshold_is_no_candidate(router):
    six = f"{FOUR_TOPICS}, savunma ve enerji"
    assert len(router.classify(six)) == 6
    assert router.candidates(six) == []


def test_at_most_three_experts_who_take_turns_at_the_last_place(router):
    seen = [router.candidates(FOUR_TOPICS) for _ in range(4)]
    assert {len(candidates) for candidates in seen} == {3}
    assert Counter(name for candidates in seen for name in candidates) == {
        name: 3 for name, _ in router.classify(FOUR_TOPICS)
    }


def test_the_general_adapter_comes_last_and_only_where_there_is_room(router):
    assert router.adapters(["legal"]) == ["adapters/legal_adapter", "adapters/general_adapter"]
    assert "adapters/general_adapter" not in router.adapters(["legal", "energy", "mobility"])
    assert router.adapters([]) == ["adapters/general_adapter"]


def test_statistics_are_exact_with_eight_threads(router):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(router.adapters, [["legal"], ["energy", "legal"], []] * 400))
    assert router.statistics() == {"legal": 800, "energy": 400, GENERAL: 400}
