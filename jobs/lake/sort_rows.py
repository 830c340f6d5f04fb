"""Rows in the order of their key, faster than by comparing texts."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def sort_rows(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """The rows by columns without nulls, texts by their bytes; equal ones stay in their order.

    A column's distinct values are ranked, and rows sorted by one number made of all ranks.
    """
    order = np.zeros(rows.num_rows, np.int64)
    for name in key:
        values = rows[name].combine_chunks().dictionary_encode()
        ranks = np.empty(len(values.dictionary), np.int64)
        ranks[pc.sort_indices(values.dictionary)] = np.arange(len(ranks))
        order = order * len(ranks) + ranks[values.indices]
    return rows.take(np.argsort(order, kind="stable"))
