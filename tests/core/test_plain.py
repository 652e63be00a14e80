from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.plain import plain


def test_turkish_text_stays_as_it_is():
    assert (
        plain("bugün neler yapacağız, İPTAL ılık şöyle 👩‍🚀")
        == "bugün neler yapacağız, İPTAL ılık şöyle 👩‍🚀"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\nb\tc", r"a\x0d\x0ab\x09c"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("a\u2028b", r"a\u2028b"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_could_command_a_terminal_is_written_out(text, shown):
    assert plain(text) == shown


@given(st.text(st.characters(codec=None)))
def test_no_control_or_bidi_character_ever_gets_through(text):
    safe = plain(text)
    assert not [c for c in safe if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]
    assert not [
        c for c in safe if unicodedata.bidirectional(c) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI"}
    ]


@given(st.text(), st.integers(1, 50))
def test_a_limited_text_is_never_longer_than_its_limit(text, limit):
    assert len(plain(text, limit=limit)) <= limit


def test_a_text_at_its_limit_is_not_cut():
    assert plain("12345", limit=5) == "12345"


def test_a_cut_text_says_so():
    assert plain("123456", limit=5) == "1234…"
