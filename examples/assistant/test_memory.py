"""The memory keeps to its budgets, and forgets what is nobody's business. Plain tests."""

from __future__ import annotations

import pytest

from memory import BUDGET, Memory
from pii import GONE, redact


@pytest.fixture
def memory(llm_tokens):
    return Memory(llm_tokens)


def test_a_long_conversation_fits_its_budgets(memory, llm_tokens):
    for number in range(60):
        memory.turn(
            f"{number}. toplantıyı yarın saat üçe alabilir misin, sonra da bana haber ver", "olur denildi"
        )
        memory.tool("list_events", f"{number}: " + "pazartesi 10:00 ekip toplantısı; " * 5)
        memory.learn(**{f"konu {number}": "haftalık satış raporu"})
    sizes = {part: llm_tokens(text) for part, text in memory.parts.items()}
    assert {part for part, size in sizes.items() if not 0 < size <= BUDGET[part]} == set()
    assert "59." in memory.summary
    assert "0. toplantıyı" not in memory.summary.split("dedi")[0]


def test_one_result_longer_than_all_tools_may_use_is_cut(memory, llm_tokens):
    memory.tool("list_events", "pazartesi 10:00 ekip toplantısı; " * 500)
    assert BUDGET["tool results"] * 0.9 < llm_tokens(memory.parts["tool results"]) <= BUDGET["tool results"]


@pytest.mark.parametrize(
    "secret",
    [
        "0532 123 45 67",
        "+90 (532) 123 45 67",
        "ayse.yilmaz@example.com.tr",
        "10000000146",  # an identity number whose check digits are right
        "4111 1111 1111 1111",
        "TR33 0006 1005 1978 6457 8413 26",
    ],
)
def test_what_is_personal_does_not_reach_the_summary(memory, secret):
    memory.turn(f"bana {secret} üzerinden ulaş", "not alındı")
    assert secret not in memory.summary
    assert GONE in memory.summary


def test_a_password_does_not_reach_the_summary(memory):
    memory.turn("wifi şifresi: Menekşe42", "not alındı")
    assert "Menekşe42" not in memory.summary


@pytest.mark.parametrize(
    "harmless",
    [
        "yarın saat 15:00 toplantı",
        "3 mart 2026 cuma",
        "sipariş numarası 10000000147",  # eleven digits that are no identity number
        "kargo takip 4111 1111 1111 1112",  # sixteen that are no card
        "bütçe 1.500.000 lira",
        "kişi başı 0212 dakika",
    ],
)
def test_what_is_harmless_stays(harmless):
    assert redact(harmless) == harmless
