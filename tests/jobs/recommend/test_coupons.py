from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.recommend.coupons import rank_coupons

_COUPONS = [
    ("c1", "k1", "milk"),
    ("c1", "k1", "beer"),
    ("c1", "k2", "soap"),
    ("c2", "k3", "milk"),
    ("c3", "k4", "milk"),
]


def offered(
    spark: SparkSession,
    members: list[tuple[str, str, float]],
    redeemed: list[tuple[str, str]],
    per_user: int = 9,
) -> dict[str, list[Any]]:
    half_lives = [("u", "milk", 1.5), ("u", "beer", 0.25), ("v", "other", 9.0)]
    ranked = rank_coupons(
        spark.createDataFrame(members, "user_id string, campaign_id string, p_redeem double"),
        spark.createDataFrame(_COUPONS, "promotion_id string, coupon_id string, item_id string"),
        spark.createDataFrame(half_lives, "user_id string, item_id string, half_life double"),
        spark.createDataFrame(redeemed, "user_id string, coupon_id string"),
        per_user,
    )
    found: dict[str, list[Any]] = {}
    for row in ranked.orderBy("user_id", "rank").collect():
        found.setdefault(row.user_id, []).append(row)
        assert row.rank == len(found[row.user_id])
        assert row.utility == pytest.approx(row.p_redeem * (1 + row.affinity))
    return found


def test_coupons_rank_by_probability_and_affinity_to_their_products(spark: SparkSession) -> None:
    found = offered(spark, [("u", "c1", 0.1), ("u", "c2", 0.2), ("v", "c1", 0.1)], redeemed=[])

    assert [(row.coupon_id, row.campaign_id, row.affinity) for row in found["u"]] == [
        ("k3", "c2", 1.5), ("k1", "c1", 1.75), ("k2", "c1", 0.0)
    ]  # fmt: skip
    assert [row.reason for row in found["u"]] == [
        "Good for a product this household buys",
        "Good for 2 products this household buys",
        "For a campaign that this household was chosen for",
    ]
    assert [row.coupon_id for row in found["v"]] == ["k1", "k2"]  # a tie goes to the smaller id


def test_a_redeemed_coupon_is_not_offered_again_to_the_same_user(spark: SparkSession) -> None:
    members = [("u", "c1", 0.1), ("v", "c1", 0.1)]

    found = offered(spark, members, redeemed=[("u", "k1"), ("u", "unknown"), ("w", "k2")])

    assert {user: [row.coupon_id for row in rows] for user, rows in found.items()} == {
        "u": ["k2"],
        "v": ["k1", "k2"],
    }


def test_no_more_coupons_than_asked_for(spark: SparkSession) -> None:
    found = offered(spark, [("u", "c1", 0.1), ("u", "c2", 0.2), ("u", "c3", 0.9)], redeemed=[], per_user=2)

    assert [row.coupon_id for row in found["u"]] == ["k4", "k3"]
