from __future__ import annotations

import pytest

from turkish import lower, upper


@pytest.mark.parametrize(
    ("capitals", "small"),
    [
        ("İPTAL", "iptal"),
        ("ILIK", "ılık"),
        ("CUMA AKŞAMI İÇİN", "cuma akşamı için"),
        ("SINIR", "sınır"),
        ("SİNİR", "sinir"),
    ],
)
def test_case_is_turkish_both_ways(capitals, small):
    assert lower(capitals) == small
    assert upper(small) == capitals


def test_a_dot_written_apart_is_the_same_letter():
    assert lower("I\N{COMBINING DOT ABOVE}PTAL") == "iptal"
