import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.features import sold_windows as sold
from jobs.features import user_windows as users
from jobs.features.plans import SOLD_TOTALS, SOLD_WINDOWED, USER, USER_CATEGORY, USER_ITEM, WindowPlan
from jobs.features.tables import item_features, user_category_features, user_features, user_item_features
from jobs.features.windows import rank_within, ratio
from jobs.lake.columns import DS, Column, Table, arrow_schema
from tests.jobs.features.window_oracle import CONFIG, Row, sold_rows, user_rows

FIRST_DAY = date(2017, 1, 1)
LAST_DAY = 45  # days are counted from FIRST_DAY; beyond the longest window
_EPOCH_DAY = (FIRST_DAY - date(1970, 1, 1)).days
_MEASURES = tuple(dict.fromkeys((*SOLD_WINDOWED, *SOLD_TOTALS)))
_USER_MEASURES = (
    "line_count", "discount_line_count", "spend", "basket_count", "redemption_count", "new_item_count",
)  # fmt: skip
TABLES = {
    "user": (USER, user_features(CONFIG)),
    "user_item": (USER_ITEM, user_item_features(CONFIG)),
    "user_category": (USER_CATEGORY, user_category_features(CONFIG)),
}


@dataclass(frozen=True)
class UserCase:
    tiles: list[Row]
    as_of: dict[str, list[int]]
    top: int


def keys_of(plan: WindowPlan, number: int) -> Row:
    names = {
        "item_id": f"i{number}",
        "category_id": f"c{number}",
        "level": ("department", "type")[number % 2],
    }
    return {key: names[key] for key in plan.keys}


@st.composite
def user_cases(draw: st.DrawFn, plan: WindowPlan) -> UserCase:
    """Few users, entities and counts, so that ties, equal days and edges of windows are common."""
    user_names = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True))
    day = st.one_of(st.integers(0, 9), st.integers(0, LAST_DAY))
    rows: dict[tuple[Any, ...], Row] = {}
    for user in user_names:
        for number, on in draw(st.lists(st.tuples(st.integers(0, 3), day), min_size=1, max_size=8)):
            keys = keys_of(plan, number)
            lines = draw(st.integers(0 if plan is USER else 1, 2))  # users also redeem without buying
            counts = {name: draw(st.integers(0, max(lines, 1))) for name in _USER_MEASURES[1:]}
            rows[user, *keys.values(), on] = {
                "user_id": user, **keys, "day": on, "line_count": lines, **counts
            }  # fmt: skip
    days = st.lists(st.integers(0, LAST_DAY + 30), min_size=1, max_size=3, unique=True).map(sorted)
    return UserCase(list(rows.values()), {user: draw(days) for user in user_names}, draw(st.integers(1, 3)))


def in_batches(rows: pa.Table, sizes: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Cuts a table into batches of the given sizes, over and over."""
    start = 0
    while start < rows.num_rows:
        size = sizes[start % len(sizes)]
        yield from rows.slice(start, size).combine_chunks().to_batches()
        start += size


def comparable(rows: pa.Table) -> list[Row]:
    """Rows as dicts, days as numbers from FIRST_DAY, in an order of their own."""
    found = [{**row, "ds": (row["ds"] - FIRST_DAY).days} for row in rows.to_pylist()]
    return sorted(found, key=repr_of_keys)


def repr_of_keys(row: Row) -> str:
    return repr([row.get(name) for name in ("user_id", "level", "category_id", "item_id", "ds")])


def run_user_windows(
    case: UserCase, plan: WindowPlan, table: Table, top: int | None, sizes: Sequence[int], min_rows: int
) -> pa.Table:
    sorted_rows = sorted(
        case.tiles, key=lambda row: [row["user_id"], *[row[key] for key in plan.keys], row["day"]]
    )
    tiles = pa.Table.from_pylist([
        {
            **{name: row[name] for name in ("user_id", *plan.keys, *plan.measures)},
            "day": row["day"] + _EPOCH_DAY,
            "as_of_days": [day + _EPOCH_DAY for day in case.as_of[row["user_id"]]],
        }
        for row in sorted_rows
    ])  # fmt: skip
    made = [table.arrow_schema().empty_table()]
    for rows in users.whole_users(in_batches(tiles, sizes), min_rows):
        entities = users.UserEntities(rows, plan, CONFIG, table.arrow_schema(), top)
        made += [entities.features_as_of(days) for days in users.as_of_passes(rows, entities)]
    return pa.concat_tables(made)


SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=3)


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=100, deadline=None, database=None)
@given(data=st.data())
def test_user_windows_equal_sums_by_hand(name: str, data: st.DataObject) -> None:
    plan, table = TABLES[name]
    case = data.draw(user_cases(plan))
    top = case.top if plan.ranked else None

    found = run_user_windows(case, plan, table, top, data.draw(SIZES), data.draw(st.integers(1, 12)))

    expected = user_rows(case.tiles, case.as_of, plan, case.top)
    assert comparable(found) == sorted(
        ({name: row[name] for name in table.column_names} for row in expected), key=repr_of_keys
    )


@settings(max_examples=100, deadline=None, database=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=8), sizes=SIZES, min_rows=st.integers(1, 10))
def test_whole_users_keeps_all_rows_in_order_and_each_user_together(
    lengths: list[int], sizes: list[int], min_rows: int
) -> None:
    user_ids = [f"u{user}" for user, length in enumerate(lengths) for _ in range(length)]
    rows = pa.table({"user_id": user_ids, "row": range(len(user_ids))})

    tables = list(users.whole_users(in_batches(rows, sizes), min_rows))

    assert pa.concat_tables(tables).equals(rows)
    seen = [set(table["user_id"].to_pylist()) for table in tables]
    assert sum(map(len, seen)) == len(lengths)
    assert all(table.num_rows >= min_rows - max(lengths) for table in tables[:-1])


def test_no_rows_have_no_windows() -> None:
    for plan, table in TABLES.values():
        assert list(users._task(plan, CONFIG, table.arrow_schema())(iter([]))) == []
    assert list(sold._task(sold_kernel(1, 2))(iter([]))) == []


@st.composite
def sold_cases(draw: st.DrawFn) -> tuple[list[Row], tuple[int, int]]:
    """Tiles up to the day before the last as-of day, as the job reads them."""
    first = draw(st.integers(0, LAST_DAY))
    last = first + draw(st.integers(0, 9))
    numbers = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, max(last - 1, 0))), max_size=12))
    count = st.integers(0, 3)
    return [
        {"item_id": f"i{item}", "day": day, **{name: draw(count) for name in _MEASURES}}
        for item, day in sorted(set(numbers))
        if day < last
    ], (first, last)


LARGE = sold.RunningMax("quantity", "largest", kept_above=2)


def sold_schema() -> pa.Schema:
    item, largest = Column("item_id", "string", ""), Column(LARGE.column, "long", "")
    windows = [column for column in item_features(CONFIG).columns if _is_sum(column.name)]
    return arrow_schema([DS, item, *windows, largest])


def sold_kernel(first: int, last: int) -> sold._Kernel:
    as_of = np.arange(first, last + 1)
    return sold._Kernel(["item_id"], "item", CONFIG, sold_schema(), FIRST_DAY, as_of, LARGE)


def _is_sum(name: str) -> bool:
    return any(name == f"item_{measure}" or name.startswith(f"item_{measure}_") for measure in _MEASURES)


@settings(max_examples=150, deadline=None, database=None)
@given(case=sold_cases(), sizes=SIZES, at_once=st.integers(1, 3))
def test_sold_windows_equal_sums_by_hand(
    case: tuple[list[Row], tuple[int, int]], sizes: list[int], at_once: int
) -> None:
    tiles, (first, last) = case
    rows = pa.Table.from_pylist(
        tiles,
        pa.schema([("item_id", pa.string()), ("day", pa.int32()), *[(m, pa.int64()) for m in _MEASURES]]),
    )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sold, "_ENTITIES_AT_ONCE", at_once)
        task = sold._task(sold_kernel(first, last))
        found = pa.Table.from_batches(task(in_batches(rows, sizes)), sold_schema())

    expected = sold_rows(tiles, range(first, last + 1), ["item_id"], "item", ("quantity", "largest", 2))
    assert comparable(found) == sorted(
        ({name: row[name] for name in sold_schema().names} for row in expected), key=repr_of_keys
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 2)), min_size=1, max_size=12))
def test_ranks_within_a_group_have_no_holes_and_ties_keep_their_order(pairs: list[tuple[int, int]]) -> None:
    groups, values = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))

    ranks = rank_within(groups, values)

    for group in set(groups.tolist()):
        members = [index for index in range(len(groups)) if groups[index] == group]
        best_first = sorted(members, key=lambda index: (-values[index], index))
        assert [ranks[index] for index in best_first] == list(range(1, len(members) + 1))


def test_a_ratio_to_zero_is_missing() -> None:
    assert ratio(np.array([1, 0, 3]), np.array([0, 0, 2])).tolist() == pytest.approx(
        [np.nan, np.nan, 1.5], nan_ok=True
    )


def random_case(plan: WindowPlan, seed: int) -> UserCase:
    """A case whose users no other seed has, so that one Spark job may run many cases."""
    chance = random.Random(seed)
    user_names = [f"{seed}-{user}" for user in range(chance.randint(1, 2))]
    rows: dict[tuple[Any, ...], Row] = {}
    for user in user_names:
        for _ in range(chance.randint(1, 8)):
            keys, day, lines = (
                keys_of(plan, chance.randrange(4)),
                chance.randint(0, LAST_DAY),
                chance.randint(1, 2),
            )
            counts = {name: chance.randint(0, lines) for name in _USER_MEASURES[1:]}
            rows[user, *keys.values(), day] = {
                "user_id": user,
                **keys,
                "day": day,
                "line_count": lines,
                **counts,
            }
    days = {user: sorted(chance.sample(range(LAST_DAY + 30), 3)) for user in user_names}
    return UserCase(list(rows.values()), days, top=2)


def dated(rows: Sequence[Row]) -> list[Row]:
    return [
        {
            **{name: value for name, value in row.items() if name != "day"},
            "ds": FIRST_DAY + timedelta(row["day"]),
        }
        for row in rows
    ]


def test_spark_gives_the_user_windows_of_many_cases_at_once(spark: SparkSession) -> None:
    plan, table = TABLES["user"]
    cases = [random_case(plan, seed) for seed in range(60)]
    tiles = [tile for case in cases for tile in case.tiles]
    as_of = {user: days for case in cases for user, days in case.as_of.items()}
    pairs = [(user, FIRST_DAY + timedelta(day)) for user, days in as_of.items() for day in days]

    windows = users.windows_as_of(
        spark.createDataFrame(pa.Table.from_pylist(dated(tiles))),
        spark.createDataFrame(pairs, "user_id string, ds date"), plan, table, CONFIG,
    )  # fmt: skip

    expected = user_rows(tiles, as_of, plan, top=2)
    assert comparable(windows.toArrow()) == sorted(
        ({name: row[name] for name in table.column_names} for row in expected), key=repr_of_keys
    )


def test_spark_gives_the_sold_windows_of_many_items_at_once(spark: SparkSession) -> None:
    chance = random.Random(1)
    pairs = sorted({(f"i{chance.randrange(80)}", chance.randrange(LAST_DAY)) for _ in range(400)})
    tiles = [{"item_id": i, "day": day, **{m: chance.randint(0, 3) for m in _MEASURES}} for i, day in pairs]

    windows = sold.sold_windows(
        spark.createDataFrame(pa.Table.from_pylist(dated(tiles))), ["item_id"], "item", CONFIG, FIRST_DAY,
        (FIRST_DAY + timedelta(30), FIRST_DAY + timedelta(LAST_DAY)),
    )  # fmt: skip

    expected = sold_rows(tiles, range(30, LAST_DAY + 1), ["item_id"], "item")
    assert comparable(windows.toArrow()) == sorted(
        ({name: row[name] for name in windows.columns} for row in expected), key=repr_of_keys
    )
