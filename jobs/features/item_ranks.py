"""The columns of item_features that follow from the window sums of all items of a day."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.features.windows import Ints, rank_within, ratio

RANKED_BY = "item_user_count_28d"


def add_item_ranks(day: pa.Table) -> pa.Table:
    """Adds price, discount share, repeat share, and ranks by users in 28 days, to the items of one day.

    `day` holds all items of the day with their window sums, department_id and type_id, sorted by item:
    ties go to the smaller item_id. Items without a category are ranked among one another.
    """
    sums = {
        name: day[name].to_numpy()
        for name in day.column_names
        if name.startswith("item_") and name != "item_id"
    }
    columns = {
        "item_price_28d": ratio(sums["item_spend_28d"], sums["item_quantity_28d"]),
        "item_discount_share_28d": ratio(sums["item_discount_line_count_28d"], sums["item_line_count_28d"]),
        "item_repeat_share": 1 - ratio(sums["item_new_user_count"], sums["item_user_count"]),
        "item_rank": _rank(day, ()),
        "item_rank_in_department": _rank(day, ("department_id",)),
        "item_rank_in_type": _rank(day, ("type_id",)),
    }
    for name, values in columns.items():
        day = day.append_column(name, pa.array(values, from_pandas=True))
    return day


def _rank(day: pa.Table, group: Sequence[str]) -> Ints:
    groups = np.zeros(day.num_rows, dtype=np.int64)
    for name in group:
        groups = np.asarray(pc.dictionary_encode(day[name].combine_chunks(), null_encoding="encode").indices)
    return rank_within(groups, day[RANKED_BY].to_numpy().astype(np.int64))
