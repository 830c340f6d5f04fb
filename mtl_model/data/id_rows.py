"""Values of id fields -> rows of their embedding tables.

A value is looked up once per table of rows that holds it, however often it stands there.

Shapes: B = rows, L = list length.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl_model.data.vocabulary import ABSENT, HashedVocabulary, Vocabulary

PADDING_ROW = 0  # null, or after the end of a list
UNKNOWN_ROW = 1
FIRST_KNOWN_ROW = 2

Rows = npt.NDArray[np.int64]


def look_up(column: pa.ChunkedArray | pa.Array, vocabulary: Vocabulary | HashedVocabulary) -> Rows:
    """The embedding row of each value, by its place in the vocabulary: (B,)."""

    def rows_of(values: pa.Array) -> Rows:
        places = vocabulary.find(values.cast(pa.string()))
        return np.where(places == ABSENT, UNKNOWN_ROW, places + FIRST_KNOWN_ROW)

    return _map_values(column, rows_of)


def look_up_lists(
    column: pa.ChunkedArray, vocabulary: Vocabulary | HashedVocabulary, max_length: int
) -> Rows:
    """The rows of the last `max_length` values of each list, then padding: (B, max_length)."""
    lists = column.combine_chunks()
    if pa.types.is_null(lists.type):
        lists = lists.cast(pa.list_(pa.string()))
    if not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        raise ValueError(f"a field of kind id_list needs a column of lists, got {lists.type}")
    items = look_up(pc.list_flatten(lists), vocabulary)
    lengths = _to_numpy(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
    kept = np.minimum(lengths, max_length)
    rows = np.repeat(np.arange(len(kept)), kept)
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(kept) - kept, kept)
    padded = np.full((len(kept), max_length), PADDING_ROW, dtype=np.int64)
    padded[rows, columns] = items[columns + np.repeat(np.cumsum(lengths) - kept, kept)]
    return padded


def _map_values(column: pa.ChunkedArray | pa.Array, rows_of: Callable[[pa.Array], Rows]) -> Rows:
    """`rows_of` the distinct values, then of each value; null is padding."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_null(column.type):
        return np.full(len(column), PADDING_ROW, dtype=np.int64)
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    rows = np.append(rows_of(encoded.dictionary), PADDING_ROW)
    found: Rows = rows[_to_numpy(encoded.indices.fill_null(-1))]
    return found


def _to_numpy(column: pa.Array) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values
