from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.column import Column

NUMBERS = st.lists(st.floats(allow_nan=False)).map(tuple)


@given(NUMBERS)
def test_a_column_is_as_good_as_the_tuple_of_its_numbers(values):
    column = Column(values)
    assert column == values
    assert values == column
    assert column == list(values)
    assert column == Column(iter(values))
    assert (len(column), tuple(column), hash(column), repr(column)) == (
        len(values),
        values,
        hash(values),
        repr(values),
    )


@given(NUMBERS, st.slices(6))
def test_a_part_of_a_column_is_a_column(values, part):
    assert Column(values)[part] == values[part]
    assert isinstance(Column(values)[part], Column)


def test_numbers_are_found_by_their_place():
    assert [Column([1.5, 2.5])[place] for place in (0, 1, -1)] == [1.5, 2.5, 2.5]
    with pytest.raises(IndexError):
        Column([1.5])[1]


@pytest.mark.parametrize("other", [(1.0,), (1.0, 3.0), (1.0, 2.0, 3.0), [], Column([2.0, 1.0])])
def test_other_numbers_are_not_equal(other):
    assert Column([1.0, 2.0]) != other


def test_a_column_is_equal_to_no_text():
    assert Column() != ""


@given(NUMBERS)
def test_bytes_bring_every_bit_back(values):
    content = Column(values).to_bytes()
    assert content == struct.pack(f"<{len(values)}d", *values)
    assert Column.of_bytes(content) == values


def test_numpy_reads_a_column_in_place_and_cannot_write_to_it():
    column = Column([3.0, 1.0])
    seen = np.asarray(column)
    assert np.shares_memory(seen, np.asarray(column))
    with pytest.raises(ValueError, match="read-only"):
        seen.sort()


def test_numpy_gets_a_copy_where_it_asks_for_one():
    column = Column([3.0, 1.0])
    np.array(column).sort()
    assert column == (3.0, 1.0)
    assert np.asarray(column, dtype=np.float32).dtype == np.float32
