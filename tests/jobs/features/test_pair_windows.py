"""Both tables of pairs, written by the tasks themselves: equal to the oracle, however users are spread."""

import random
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.features.pair_windows import category_tiles, pair_windows, place_users
from jobs.features.plans import USER_CATEGORY, USER_ITEM
from jobs.features.tables import user_category_features, user_item_features
from jobs.lake.days import days_between
from jobs.lake.lake import Lake
from tests.jobs.features.window_oracle import CONFIG, user_rows

FIRST_DAY, WEEK, TOP = date(2017, 1, 1), 7, 3
DAYS = (FIRST_DAY + timedelta(30), FIRST_DAY + timedelta(45))
ITEMS = {"i0": ("D", "D / C / T"), "i1": ("D", "D / C / T"), "i2": ("D", "D / C / U"), "i3": (None, None)}
TABLES = (user_item_features(CONFIG), user_category_features(CONFIG))
_SUMS = ("line_count", "discount_line_count")
Tile = dict[str, Any]


@pytest.fixture(scope="module")
def tiles() -> list[Tile]:
    chance = random.Random(5)
    keys = {(f"u{chance.randrange(12)}", f"i{chance.randrange(4)}", chance.randrange(50)) for _ in range(300)}
    return [
        {"user_id": user, "item_id": item, "day": day, "line_count": 1 + day % 3, "spend": 7 * day,
         "discount_line_count": day % 2}
        for user, item, day in sorted(keys)
    ]  # fmt: skip


def build(
    spark: SparkSession, lake: Lake, tiles: Iterable[Tile], every_days: int, num_buckets: int
) -> list[list[dict[str, Any]]]:
    rows = [{**tile, "ds": FIRST_DAY + timedelta(tile["day"])} for tile in tiles]
    frame = spark.createDataFrame(pa.Table.from_pylist(rows)).drop("day")
    levels = spark.createDataFrame(
        [(item, *ids) for item, ids in ITEMS.items()], "item_id string, department_id string, type_id string"
    )
    placed = place_users(frame, levels, every_days, num_buckets)
    make = pair_windows(CONFIG, DAYS, every_days, num_buckets, TOP)
    counts = lake.replace_made(placed, make, TABLES, DAYS)
    made = [lake.read_arrow(table).to_pylist() for table in TABLES]
    assert list(counts.values()) == [len(rows) for rows in made]
    return [sorted(rows, key=repr) for rows in made]


def anchors_of(user_days: Iterable[tuple[str, date]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for user, day in sorted(user_days):
        found.setdefault(user, []).append((day - FIRST_DAY).days)
    return found


def expected(tiles: list[Tile], as_of: dict[str, list[int]]) -> list[list[dict[str, Any]]]:
    of_category: dict[tuple[Any, ...], Tile] = {}
    for tile in tiles:
        for level, category in zip(("department", "type"), ITEMS[tile["item_id"]], strict=True):
            if category is not None:
                key = {
                    "user_id": tile["user_id"],
                    "level": level,
                    "category_id": category,
                    "day": tile["day"],
                }
                summed = of_category.setdefault(tuple(key.values()), {**key, **dict.fromkeys(_SUMS, 0)})
                summed.update({name: summed[name] + tile[name] for name in _SUMS})
    both = (
        user_rows(tiles, as_of, USER_ITEM, TOP),
        user_rows(list(of_category.values()), as_of, USER_CATEGORY, 1 << 30),
    )
    return [
        sorted(
            (
                {
                    name: FIRST_DAY + timedelta(row["ds"]) if name == "ds" else row[name]
                    for name in table.column_names
                }
                for row in rows
            ),
            key=repr,
        )
        for rows, table in zip(both, TABLES, strict=True)
    ]


@pytest.mark.parametrize("num_buckets", [1, 3])
def test_all_users_as_of_one_slot_equal_sums_by_hand(
    spark: SparkSession, lake: Lake, tiles: list[Tile], num_buckets: int
) -> None:
    users = {tile["user_id"] for tile in tiles}

    made = build(spark, lake, tiles, 1, num_buckets)

    every_day = {(user, day) for user in users for day in days_between(*DAYS)}
    assert made == expected(tiles, anchors_of(every_day))


def test_staggered_users_have_the_rows_of_their_own_anchors(
    spark: SparkSession, lake: Lake, tiles: list[Tile]
) -> None:
    made = build(spark, lake, tiles, WEEK, 1)

    anchored = {(row["user_id"], row["ds"]) for row in made[0]}
    assert made == expected(tiles, anchors_of(anchored))
    by_user = anchors_of(anchored)
    assert len({days[0] % WEEK for days in by_user.values()}) > 1  # staggered
    assert {len(days) for days in by_user.values()} <= {2, 3}  # of 16 days
    assert all(later - day == WEEK for days in by_user.values() for day, later in pairwise(days))


def test_each_day_and_bucket_is_one_sorted_file(spark: SparkSession, lake: Lake, tiles: list[Tile]) -> None:
    build(spark, lake, tiles, WEEK, 2)

    files = lake.files_by_day(TABLES[0], DAYS)

    assert max(map(len, files.values())) <= 2
    for paths in files.values():
        for path in paths:
            rows = pa.parquet.read_table(path.removeprefix("file://"), partitioning=None).to_pylist()
            keys = [(row["user_id"], row["item_id"]) for row in rows]
            assert keys == sorted(keys)


def test_items_without_a_category_are_in_no_category() -> None:
    rows = pa.table({
        "user_id": ["u", "u", "u"], "item_id": ["a", "b", "c"], "day": [1, 1, 1],
        "line_count": [1, 2, 4], "spend": [0, 0, 0], "discount_line_count": [0, 1, 1],
        "department_id": ["D", "D", None], "type_id": ["T", None, None],
    })  # fmt: skip

    tiles = category_tiles(rows).to_pylist()

    found = [
        (row["level"], row["category_id"], row["line_count"], row["discount_line_count"]) for row in tiles
    ]
    assert found == [("department", "D", 3, 1), ("type", "T", 1, 0)]
