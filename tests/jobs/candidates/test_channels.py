from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.candidates.channels import BIT, AsOf, excluded_items, merge_channels, promoted_share, propose
from jobs.config import CandidatesConfig

DAY = date(2017, 3, 1)  # a Wednesday
CONFIG = CandidatesConfig(
    bought_before=2, popular=1, popular_departments=1, popular_per_department=2, popular_types=2,
    popular_per_type=1, on_promotion=1, min_promotion_share=0.5, max_line_quantity=100,
)  # fmt: skip
_ITEMS = {  # item: (department, type, rank, rank in department, rank in type, users in 28 days)
    "best": ("D1", "T1", 1, 1, 1, 90),
    "good": ("D1", "T2", 2, 2, 1, 80),
    "fair": ("D1", "T2", 3, 3, 2, 70),
    "other": ("D2", "T3", 4, 1, 1, 60),
    "loner": (None, None, 5, 1, 1, 50),
    "fuel": ("D1", "T1", 6, 4, 2, 40),
}
_USER_CATEGORY = "ds date, user_id string, level string, category_id string, rank long, share double"
_EXCLUDED = "item_id string, since date"

Proposals = dict[str, set[tuple[str, str]]]


@pytest.fixture
def as_of(spark: SparkSession) -> AsOf:
    """User `a` shops T1 and T2 of D1, and less in T3 of D2; user `b` shops T3 only."""
    category = spark.createDataFrame(
        [
            (DAY, "a", "department", "D1", 1, 0.9), (DAY, "a", "department", "D2", 2, 0.1),
            (DAY, "a", "type", "T1", 1, 0.6), (DAY, "a", "type", "T2", 2, 0.3),
            (DAY, "a", "type", "T3", 3, 0.1),
            (DAY, "b", "department", "D2", 1, 1.0), (DAY, "b", "type", "T3", 1, 1.0),
        ],
        _USER_CATEGORY,
    )  # fmt: skip
    own = [(DAY, "a", "best", 1), (DAY, "a", "loner", 2), (DAY, "a", "fair", 3), (DAY, "b", "fuel", 1)]
    items = [(DAY, item, *values[2:]) for item, values in _ITEMS.items()]
    promoted = [(DAY, "fair", 0.5, 0.0), (DAY, "good", 0.0, 0.6), (DAY, "other", 0.4, 0.49)]
    return AsOf(
        user_item=spark.createDataFrame(own, "ds date, user_id string, item_id string, user_item_rank long"),
        user_category=category.withColumnsRenamed(
            {"rank": "user_category_rank", "share": "user_category_share"}
        ),
        items=spark.createDataFrame(
            items,
            "ds date, item_id string, item_rank long, item_rank_in_department long, item_rank_in_type long, "
            "item_user_count_28d long",
        ),
        promoted=spark.createDataFrame(
            promoted, "ds date, item_id string, display_share double, mailer_share double"
        ),
        levels=spark.createDataFrame(
            [(item, *values[:2]) for item, values in _ITEMS.items()],
            "item_id string, department_id string, type_id string",
        ),
    )


@pytest.fixture
def proposals(spark: SparkSession, as_of: AsOf) -> Callable[[date], Proposals]:
    """What each channel proposes where fuel is excluded since a day, with no pair twice in a channel."""

    def of(since: date) -> Proposals:
        proposed = propose(as_of, spark.createDataFrame([("fuel", since)], _EXCLUDED), CONFIG).collect()
        found: Proposals = defaultdict(set)
        names = {bit: channel for channel, bit in BIT.items()}
        for row in proposed:
            found[names[row.channel]].add((row.user_id, row.item_id))
        assert sum(map(len, found.values())) == len(proposed)
        return found

    return of


def test_each_channel_proposes_its_quota(proposals: Callable[[date], Proposals]) -> None:
    found = proposals(DAY)

    assert found == {
        "bought_before": {("a", "best"), ("a", "loner"), ("b", "fuel")},
        "popular": {("a", "best"), ("b", "best")},
        "popular_in_department": {("a", "best"), ("a", "good"), ("b", "other")},
        "popular_in_type": {("a", "best"), ("a", "good"), ("b", "other")},
        # of T2 both are strong enough: 0.3 x 80 users beats 0.3 x 70; `other` is below the share
        "on_promotion": {("a", "good")},
    }


def test_an_item_is_excluded_from_the_day_after_its_large_line(
    proposals: Callable[[date], Proposals],
) -> None:
    found = proposals(DAY - timedelta(days=1))

    assert found["bought_before"] == {("a", "best"), ("a", "loner")}


def test_a_pair_is_kept_once_with_the_bits_of_all_its_channels(spark: SparkSession) -> None:
    rows = [(DAY, "a", "x", 1), (DAY, "a", "x", 4), (DAY, "a", "y", 2), (DAY + timedelta(1), "a", "x", 16)]
    proposed = spark.createDataFrame(rows, "ds date, user_id string, item_id string, channel int")

    merged = merge_channels(proposed).collect()

    assert {(row.ds, row.item_id): row.channels for row in merged} == {
        (DAY, "x"): 5, (DAY, "y"): 2, (DAY + timedelta(1), "x"): 16
    }  # fmt: skip
    assert len(merged) == 3


def test_items_are_excluded_since_their_first_line_above_the_quantity(spark: SparkSession) -> None:
    sold = [
        ("fuel", DAY, 101),
        ("fuel", DAY - timedelta(3), 900),
        ("fuel", DAY - timedelta(5), 3),
        ("milk", DAY, 100),
    ]
    item_days = spark.createDataFrame(sold, "item_id string, ds date, max_line_quantity long")

    excluded = excluded_items(item_days, max_line_quantity=100)

    assert list(map(tuple, excluded.collect())) == [("fuel", DAY - timedelta(days=3))]


def placements(spark: SparkSession, *rows: tuple[Any, ...]) -> DataFrame:
    return spark.createDataFrame(
        [(row[0], "placement", *row) if len(row) == 5 else row for row in rows],
        "promotion_id string, kind string, item_id string, valid_from date, valid_to date, "
        "display_share double, mailer_share double",
    ).selectExpr("valid_from AS ds", "*")


def test_promoted_share_is_the_mean_over_the_days_of_the_label_window(spark: SparkSession) -> None:
    monday, week = date(2017, 2, 27), timedelta(days=6)
    promotions = placements(
        spark,
        ("x", monday, monday + week, 0.5, 0.0),  # five days of the window, Wednesday to Sunday
        ("x", monday + timedelta(7), monday + timedelta(13), 1.0, 0.7),  # its last two days
        ("ends", DAY - timedelta(3), DAY, 0.7, 0.0),
        ("ended", DAY - timedelta(7), DAY - timedelta(1), 1.0, 1.0),
        ("last", DAY + timedelta(6), DAY + timedelta(9), 0.0, 1.0),
        ("after", DAY + timedelta(7), DAY + timedelta(9), 1.0, 1.0),
        ("c1", "coupon", "coupon", DAY, DAY + timedelta(9), 1.0, 1.0),
    )

    shares = promoted_share(promotions, spark.createDataFrame([(DAY,)], "ds date"), window_days=7)

    found = {row.item_id: (row.ds, row.display_share, row.mailer_share) for row in shares.collect()}
    assert found == {
        "x": (DAY, pytest.approx((5 * 0.5 + 2 * 1.0) / 7), pytest.approx(2 * 0.7 / 7)),
        "ends": (DAY, pytest.approx(0.1), 0.0),
        "last": (DAY, 0.0, pytest.approx(1 / 7)),
    }
