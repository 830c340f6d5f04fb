from collections.abc import Sequence
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.candidates.channels import BIT
from jobs.config import RecommendConfig
from jobs.recommend.shelves import channel_names, rank_shelves, reason, utility

CONFIG = RecommendConfig(
    surface="home", items_per_user=3, utility={"purchase": 1.0}, max_per_category=2, coupons_per_user=1,
    complements_per_item=1, min_baskets_together=1,
)  # fmt: skip


def scored(spark: SparkSession, *rows: tuple[str, str, str | None, float]) -> DataFrame:
    """Rows are (user, item, category, probability of purchase)."""
    frame = spark.createDataFrame(
        rows, "user_id string, item_id string, category_id string, p_purchase double"
    )
    return frame.withColumns({"expected_spend": F.lit(250.0), "p_buys_on_discount": F.lit(0.5)})


def shelves(ranked: DataFrame) -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = {}
    for row in ranked.orderBy("user_id", "rank").collect():
        found.setdefault(row.user_id, []).append((row.rank, row.item_id))
    return found


def test_utility_is_the_weighted_sum_of_predictions_spend_in_whole_units(spark: SparkSession) -> None:
    weights = {"purchase": 2.0, "spend": 0.1, "buys_on_discount": -1.0}

    row = scored(spark, ("u", "i", "c", 0.3)).select(utility(weights).alias("utility")).collect()[0]

    assert row.utility == pytest.approx(2 * 0.3 + 0.1 * 2.50 - 0.5)


def test_a_shelf_holds_the_best_within_the_cap_per_category_ranked_from_1(spark: SparkSession) -> None:
    rows = scored(
        spark,
        ("u", "a", "milk", 0.9), ("u", "b", "milk", 0.8), ("u", "third of milk", "milk", 0.7),
        ("u", "c", "beer", 0.2), ("u", "d", "beer", 0.1),
        ("nulls", "x", None, 0.3), ("nulls", "y", None, 0.2), ("nulls", "z", None, 0.1),
        ("ties", "9", "p", 0.5), ("ties", "10", "q", 0.5), ("ties", "11", "r", 0.5), ("ties", "12", "s", 0.5),
        ("one", "i", "c", 0.0),
    )  # fmt: skip

    ranked = rank_shelves(rows, CONFIG)

    assert shelves(ranked) == {
        "u": [(1, "a"), (2, "b"), (3, "c")],
        "nulls": [(1, "x"), (2, "y"), (3, "z")],  # no cap where there is no category
        "ties": [(1, "10"), (2, "11"), (3, "12")],  # in the order of the text
        "one": [(1, "i")],
    }


_PASTA = "GROCERY / DRY / PASTA: LONG"


_REASONS: list[tuple[list[str], tuple[int, int, float | None] | None, str]] = [
    # channels; lines of the pair, days since the last, mean interval; the reason
    (["bought_before"], (1, 1, None), "Bought once, last yesterday"),
    (["popular", "bought_before"], (12, 3, 6.6), "Bought 12 times, last 3 days ago; usually every 7 days"),
    (["bought_before"], (9, 2, 1.2), "Bought 9 times, last 2 days ago; usually every day"),
    (["bought_before", "on_promotion"], (1, 30, None), "Bought once, last 30 days ago, on promotion"),
    (["popular_in_type", "popular"], None, "The favourite in Pasta: Long, which this household buys"),
    (
        ["popular_in_department", "on_promotion"],
        None,
        "Popular in a department this household shops: Pasta: Long, on promotion",
    ),
    (["on_promotion"], None, "On offer in Pasta: Long, which this household buys"),
    (["popular", "on_promotion"], None, "On offer in Pasta: Long, which this household buys"),
    (["popular"], None, "Popular with all households"),
]


def test_reasons_are_readable(spark: SparkSession) -> None:
    rows = [(channels, pair, "GROCERY / DRY / PASTA: LONG") for channels, pair, _ in _REASONS]

    assert reasons_of(spark, rows) == [text for *_, text in _REASONS]


def test_an_item_without_a_type_has_a_reason_as_well(spark: SparkSession) -> None:
    """The catalogue knows some products by their department only."""
    rows = [(["popular_in_department"], None, None), (["popular"], None, None)]

    assert reasons_of(spark, rows) == [
        "Popular in a department this household shops", "Popular with all households"
    ]  # fmt: skip


def reasons_of(spark: SparkSession, cases: Sequence[tuple[list[str], Any, str | None]]) -> list[str]:
    rows = [
        (number, sum(BIT[name] for name in channels), *(pair or (None, None, None)), type_id)
        for number, (channels, pair, type_id) in enumerate(cases)
    ]
    frame = spark.createDataFrame(
        rows,
        "number int, channels int, user_item_line_count long, user_item_days_since_last long, "
        "user_item_mean_interval double, type_id string",
    )
    named = frame.select("number", reason().alias("reason"), channel_names().alias("names"))
    found = named.orderBy("number").collect()
    assert [sorted(row.names) for row in found] == [sorted(channels) for channels, *_ in cases]
    return [row.reason for row in found]
