from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.reports.width import columns, shorten


@given(st.text(st.characters(exclude_categories=["Mn", "Me", "Cf"])), st.integers(0, 40))
def test_a_shortened_name_fits(text, width):
    assert columns(shorten(text, width)) <= max(width, 0)


def test_a_name_gives_way_in_its_middle():
    assert shorten("test_router[case-istanbul-3]", 15) == "test_ro…nbul-3]"


def test_a_name_that_fits_is_kept():
    assert shorten("test_router", 11) == "test_router"


def test_wide_characters_take_two_columns():
    assert columns("日本go") == 6


def test_combining_marks_take_no_column():
    assert columns("i\u0307") == 1
