from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.recommend.complements import make_complements

_EVENTS = "request_id string, item_id string, event_type string, quantity long"


def baskets(spark: SparkSession, *contents: str, more: tuple[tuple[Any, ...], ...] = ()) -> DataFrame:
    """One basket per text, an item per letter."""
    lines = [(f"b{number}", item, "purchase", 1) for number, items in enumerate(contents) for item in items]
    return spark.createDataFrame([*lines, *more], _EVENTS)


def found(complements: DataFrame) -> dict[tuple[str, int], tuple[Any, ...]]:
    names = ("complement_item_id", "baskets_together", "lift", "confidence")
    return {(row.item_id, row.rank): tuple(row[name] for name in names) for row in complements.collect()}


def test_lift_and_confidence_by_hand(spark: SparkSession) -> None:
    """Ten baskets: a in 4, b in 5, both in 3; c in all of them, so that it says nothing."""
    events = baskets(spark, *["abcc"] * 3, "ac", "bc", "bc", *["c"] * 4)

    complements = make_complements(events, min_baskets=2, per_item=5)

    lift = 3 * 10 / (4 * 5)
    assert found(complements) == {
        ("a", 1): ("b", 3, lift, 0.75),
        ("b", 1): ("a", 3, lift, pytest.approx(0.6)),
    }


def test_lines_that_are_no_purchase_make_no_pair(spark: SparkSession) -> None:
    none = (
        ("b0", "z", "purchase", 0),
        ("b1", "z", "purchase", 0),
        ("b0", "y", "coupon_redeem", 1),
        ("b1", "y", "view", 1),
    )
    events = baskets(spark, "ab", "ab", "d", "e", more=none)

    pairs = {(row.item_id, row.complement_item_id) for row in make_complements(events, 2, 5).collect()}

    assert pairs == {("a", "b"), ("b", "a")}


def test_the_strongest_come_first_and_rare_pairs_not_at_all(spark: SparkSession) -> None:
    """Item x meets y 4 times, z 2 times, w and v 2 times each (a tie), u once."""
    events = baskets(spark, "xy", "xy", "xyz", "xyz", "xwv", "xwv", "xu", *["q"] * 20, *["z"] * 4)

    of_x = [
        row for row in make_complements(events, 2, per_item=3).orderBy("rank").collect() if row.item_id == "x"
    ]

    assert [(row.rank, row.complement_item_id) for row in of_x] == [(1, "y"), (2, "v"), (3, "w")]


def test_no_baskets_have_no_complements(spark: SparkSession) -> None:
    assert make_complements(spark.createDataFrame([], _EVENTS), 1, 5).isEmpty()
