from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_model.data.id_rows import FIRST_KNOWN_ROW, look_up, look_up_lists
from mtl_model.data.vocabulary import HashedVocabulary, Vocabulary

VOCABULARY = Vocabulary(pa.array(["a", "b", "c"]))
LISTS = st.lists(st.none() | st.lists(st.none() | st.sampled_from("abcd"), max_size=5), max_size=6)


def row_of(value: str | None) -> int:
    return 0 if value is None else {"a": 2, "b": 3, "c": 4}.get(value, 1)


@given(LISTS, st.integers(1, 4))
def test_a_list_has_the_rows_of_its_last_values_then_padding(
    lists: list[list[str | None] | None], max_length: int
) -> None:
    rows = look_up_lists(pa.chunked_array([pa.array(lists, pa.list_(pa.string()))]), VOCABULARY, max_length)

    expected = [[row_of(value) for value in (values or [])[-max_length:]] for values in lists]
    assert rows.shape == (len(lists), max_length)
    assert rows.tolist() == [values + [0] * (max_length - len(values)) for values in expected]


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pa.array([[7, 8], None], pa.list_(pa.int64())), id="numbers"),
        pytest.param(pa.array([[7, 8], None], pa.large_list(pa.int32())), id="large lists"),
        pytest.param(pa.array([[0], [7, 8], None], pa.list_(pa.int64()))[1:], id="a part of a longer column"),
    ],
)
def test_lists_of_any_type_are_read(column: pa.Array) -> None:
    rows = look_up_lists(pa.chunked_array([column]), Vocabulary(pa.array(["8", "7"])), max_length=3)

    assert rows.tolist() == [[3, 2, 0], [0, 0, 0]]


def test_a_column_that_holds_no_lists_is_refused() -> None:
    with pytest.raises(ValueError, match="a field of kind id_list needs a column of lists, got string"):
        look_up_lists(pa.chunked_array([["a"]]), VOCABULARY, max_length=2)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(pa.array(["c", None, "x", "c"]), id="plain"),
        pytest.param(pa.array(["c", None, "x", "c"]).dictionary_encode(), id="dictionary"),
        pytest.param(pa.chunked_array([["c", None], ["x", "c"]]), id="chunks"),
    ],
)
def test_each_value_has_its_row(values: Any) -> None:
    assert look_up(values, VOCABULARY).tolist() == [4, 0, 1, 4]


def test_a_hash_is_the_same_for_numbers_and_their_text_and_in_every_run() -> None:
    numbers, texts = pa.array([5, None, 6, 5]), pa.array(["5", None, "6", "5"])

    rows = look_up(numbers, HashedVocabulary(1000))

    assert rows.tolist() == look_up(texts, HashedVocabulary(1000)).tolist()
    assert rows.tolist() == [rows[0], 0, rows[2], rows[0]]
    assert look_up(pa.array(["user"]), HashedVocabulary(1_000_000)).tolist() == [HASH_OF_USER]


def test_lists_are_hashed_as_single_values_are() -> None:
    lists = pa.chunked_array([[["7", None, "8"], None]])
    seven, eight = look_up(pa.array([7, 8]), HashedVocabulary(1000))

    rows = look_up_lists(lists, HashedVocabulary(1000), max_length=4)

    assert rows.tolist() == [[seven, 0, eight, 0], [0, 0, 0, 0]]


def test_hashes_spread_over_all_rows() -> None:
    rows = look_up(pa.array(np.arange(10_000)), HashedVocabulary(100))

    counts = np.bincount(rows - FIRST_KNOWN_ROW, minlength=100)
    assert len(counts) == 100
    assert counts.min() > 50


HASH_OF_USER = 301_411
