"""Features as of a day know only what happened before it."""

from collections.abc import Iterable
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow.compute as pc
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.features.anchors import (
    add_anchor,
    campaign_anchors,
    scoring_day,
    staggered_anchors,
    training_anchor_days,
)
from jobs.features.build_features import make_item_windows, make_user_features
from jobs.features.categories import add_category_levels, item_levels
from jobs.features.item_ranks import add_item_ranks
from jobs.features.tables import ITEM_DAYS, USER_DAYS
from jobs.lake.columns import Table
from jobs.lake.days import DayRange
from jobs.stage import Run, make_run

AS_OF = date(2017, 3, 1)
USERS = [f"u{number}" for number in range(40)]
WEEK = 7


@pytest.fixture
def run(home: Path) -> Run:
    return make_run("grocery", AS_OF - timedelta(days=1))


def tiles(spark: SparkSession, table: Table, ages: Iterable[int]) -> DataFrame:
    """One tile for every user, item and age (days before AS_OF; 0 and below: not before it)."""
    days = [(AS_OF - timedelta(days=age), age) for age in ages]
    rows = spark.createDataFrame(days, "ds date, age int")
    pairs = spark.createDataFrame(
        [("u1", "i1"), ("u1", "i2"), ("u2", "i1")], "user_id string, item_id string"
    )
    known = ("ds", "user_id", "item_id")
    counts = [
        (F.abs("age") + 1).cast("long").alias(column.name)
        for column in table.columns
        if column.name not in known
    ]
    keys = [name for name in table.column_names if name in known]
    return rows.crossJoin(pairs.select(keys[1:]).distinct()).select(*keys, *counts)


def levels(spark: SparkSession) -> DataFrame:
    rows = [("i1", ["D", "C", "T"]), ("i2", ["D", "C", "T2"])]
    items = spark.createDataFrame(rows, "item_id string, category_path array<string>")
    return item_levels(items.withColumns({"brand": F.lit("b"), "title": F.lit("t"), "price": F.lit(1)}))


BEFORE, WITH_LATER = (1, 2, 9, 40), (1, 2, 9, 40, 0, -1, -2, -8)


def test_events_on_or_after_the_day_do_not_change_user_features_as_of_it(
    spark: SparkSession, run: Run
) -> None:
    config = run.scenario.features
    as_of = spark.createDataFrame([(user, AS_OF) for user in ("u1", "u2")], "user_id string, ds date")

    def features(ages: Iterable[int]) -> list[tuple[object, ...]]:
        made = make_user_features(tiles(spark, USER_DAYS, ages), as_of, config)
        return sorted(map(tuple, made.collect()), key=repr)

    before = features(BEFORE)

    assert features(WITH_LATER) == before
    assert len(before) == 2


def test_a_coupon_redeemed_without_a_purchase_counts_as_a_coupon_only(spark: SparkSession, run: Run) -> None:
    known = tiles(spark, USER_DAYS, [2, 5]).where("user_id = 'u1'")
    without_purchase = F.when(F.col("ds") == AS_OF - timedelta(2), 0).otherwise(F.col("line_count"))
    as_of = spark.createDataFrame([("u1", AS_OF)], "user_id string, ds date")

    made = make_user_features(known.withColumn("line_count", without_purchase), as_of, run.scenario.features)

    row = made.collect()[0]
    assert row.user_redemption_count == 3 + 6
    assert (row.user_day_count, row.user_days_since_last, row.user_mean_interval) == (1, 5, None)


def test_events_on_or_after_the_day_do_not_change_item_features_as_of_it(
    spark: SparkSession, run: Run
) -> None:
    as_of = (AS_OF, AS_OF + timedelta(days=3))

    def features(ages: Iterable[int]) -> list[dict[str, object]]:
        return item_features_of(tiles(spark, ITEM_DAYS, ages), spark, run, as_of)[AS_OF]

    before = features(BEFORE)

    assert features((*BEFORE, 0, -1, -2)) == before
    assert len(before) == 2


def item_features_of(
    item_days: DataFrame, spark: SparkSession, run: Run, as_of: DayRange
) -> dict[date, list[dict[str, object]]]:
    """The finished rows of each day, sorted by item as the job sorts them."""
    windows = make_item_windows(item_days, levels(spark), run, as_of).orderBy("item_id").toArrow()
    days = sorted(set(windows["ds"].to_pylist()))
    return {day: add_item_ranks(windows.filter(pc.equal(windows["ds"], day))).to_pylist() for day in days}


def test_item_features_by_hand(spark: SparkSession, run: Run) -> None:
    names = "ds date, item_id string, user_count long, line_count long, quantity long, spend long, " \
            "discount_line_count long, new_user_count long, max_line_quantity long"  # fmt: skip
    yesterday, long_ago = AS_OF - timedelta(days=1), AS_OF - timedelta(days=29)
    rows = [
        (yesterday, "i1", 2, 3, 4, 1000, 1, 1, 2), (long_ago, "i1", 4, 4, 4, 400, 0, 2, 1),
        (yesterday, "i2", 2, 2, 2, 100, 0, 2, 1), (long_ago, "gone", 9, 9, 9, 900, 0, 9, 1),
        (yesterday, "unsold", 0, 0, 0, 0, 0, 0, 0), (yesterday, "unknown", 1, 1, 0, 0, 0, 1, 0),
        (long_ago, "fuel", 1, 1, 101, 100, 0, 1, 101),
    ]  # fmt: skip

    made = item_features_of(spark.createDataFrame(rows, names), spark, run, (AS_OF, AS_OF))[AS_OF]

    by_item = {row["item_id"]: row for row in made}
    assert set(by_item) == {"i1", "i2", "unknown", "fuel"}  # sold within 28 days, or in a large line before
    bought = by_item["i1"]
    names_of_sums = (
        "item_user_count_28d",
        "item_user_count",
        "item_line_count_91d",
        "item_max_line_quantity",
    )
    assert tuple(bought[name] for name in names_of_sums) == (2, 6, 7, 2)
    assert (bought["item_price_28d"], bought["item_discount_share_28d"]) == (250.0, 1 / 3)
    assert bought["item_repeat_share"] == 1 - 3 / 6
    assert by_item["unknown"]["item_price_28d"] is None  # no units
    rank_names = ("item_rank", "item_rank_in_department", "item_rank_in_type")
    ranks = {item: tuple(row[name] for name in rank_names) for item, row in by_item.items()}
    # a tie goes to the smaller id; items without a category are ranked among one another
    assert ranks == {"i1": (1, 1, 1), "i2": (2, 2, 1), "unknown": (3, 1, 1), "fuel": (4, 2, 2)}


def test_every_day_of_a_user_has_one_anchor_whose_window_holds_it(spark: SparkSession) -> None:
    first, last = AS_OF, AS_OF + timedelta(days=4 * WEEK - 1)
    users = spark.createDataFrame([(user,) for user in USERS], "user_id string")
    anchors = staggered_anchors(users, (first, last), WEEK)

    every_day = users.crossJoin(
        spark.range((last - first).days + 1).select(
            F.date_add(F.lit(first), F.col("id").cast("int")).alias("ds")
        )
    )
    anchored = add_anchor(every_day, WEEK).collect()

    days: dict[str, list[date]] = {user: [] for user in USERS}
    for row in anchors.orderBy("ds").collect():
        days[row.user_id].append(row.ds)
    assert {len(anchor_days) for anchor_days in days.values()} == {4}  # once in every window
    gaps = {later - day for anchor_days in days.values() for day, later in pairwise(anchor_days)}
    assert gaps == {timedelta(WEEK)}  # the windows of a user neither overlap nor leave a day out
    assert len({anchor_days[0] for anchor_days in days.values()}) == WEEK  # staggered over all days
    for row in anchored:
        assert row.anchor <= row.ds < row.anchor + timedelta(WEEK)
        assert row.anchor in days[row.user_id] or row.anchor < first


def test_campaigns_anchor_each_member_once_on_their_first_day(spark: SparkSession) -> None:
    starts = [("a", AS_OF), ("a", AS_OF), ("b", AS_OF + timedelta(1)), ("c", AS_OF - timedelta(1))]
    members = spark.createDataFrame(starts, "user_id string, valid_from date")

    anchors = campaign_anchors(members, (AS_OF, AS_OF + timedelta(1)))

    assert sorted(map(tuple, anchors.collect())) == [("a", AS_OF), ("b", AS_OF + timedelta(1))]


def test_the_last_label_window_closes_on_the_run_date(run: Run, home: Path) -> None:
    first, last = training_anchor_days(run)

    assert last + timedelta(WEEK - 1) == run.date
    assert training_anchor_days(make_run("grocery", date(2017, 1, 9)))[0] == date(
        2017, 1, 2
    )  # with a day before
    assert scoring_day(run) == (AS_OF, AS_OF)
    assert first == date(2017, 1, 2)
    assert (training_anchor_days(make_run("grocery", date(2017, 12, 2)))[0]) == date(2017, 8, 28)


def test_items_repeat_for_every_level_that_their_path_has(spark: SparkSession) -> None:
    rows = [("a", ["D", "C", "T"]), ("b", ["D"]), ("c", []), ("d", None)]
    items = spark.createDataFrame(rows, "item_id string, category_path array<string>")
    sold = spark.createDataFrame(
        [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("new", 5)], "item_id string, n int"
    )

    repeated = add_category_levels(
        sold, item_levels(items.withColumns({"brand": F.lit(""), "title": F.lit(""), "price": F.lit(1)}))
    )

    assert sorted(map(tuple, repeated.select("item_id", "n", "level", "category_id").collect())) == [
        ("a", 1, "category", "D / C"), ("a", 1, "department", "D"), ("a", 1, "type", "D / C / T"),
        ("b", 2, "department", "D"),
    ]  # fmt: skip
