from math import log2

import pytest
from pyspark.sql import SparkSession

from jobs.backtest.ranking_metrics import score_lists

_LISTS = "method string, user_id string, item_id string, rank int"
_BOUGHT = "segment string, user_id string, item_id string"


def gain(*ranks: int) -> float:
    return sum(1 / log2(rank + 1) for rank in ranks)


def test_metrics_by_hand(spark: SparkSession) -> None:
    shelves = {
        "first and third": ["a", "x", "b"],
        "short": ["x", "a"],
        "many bought": [f"b{n}" for n in range(5)] + [f"x{n}" for n in range(5)],
        "all bought": [f"b{n}" for n in range(10)],
        "too late": [f"x{n}" for n in range(10)] + ["a"],
        "bought nothing": ["a"],
    }
    lists = [("m", user, item, rank) for user, shelf in shelves.items() for rank, item in enumerate(shelf, 1)]
    bought = {
        "first and third": ["a", "b", "c"], "short": ["a"], "many bought": [f"b{n}" for n in range(25)],
        "all bought": [f"b{n}" for n in range(12)], "too late": ["a"], "no list": ["a"],
    }  # fmt: skip
    rows = [("all", user, item) for user, items in bought.items() for item in items]

    scored = score_lists(spark.createDataFrame(lists, _LISTS), spark.createDataFrame(rows, _BOUGHT), k=10)

    found = {row.user_id: (row.ndcg, row.recall, row.hit) for row in scored.collect()}
    expected = {
        "first and third": (gain(1, 3) / gain(1, 2, 3), 2 / 3, 1.0),
        "short": (gain(2) / gain(1), 1.0, 1.0),
        "many bought": (gain(*range(1, 6)) / gain(*range(1, 11)), 0.5, 1.0),  # the ideal list ends at 10
        "all bought": (1.0, 1.0, 1.0),
        "too late": (0.0, 0.0, 0.0),
        "no list": (0.0, 0.0, 0.0),
    }
    assert found == {user: pytest.approx(values) for user, values in expected.items()}


def test_every_method_is_scored_in_every_segment_against_what_was_bought_there(spark: SparkSession) -> None:
    lists = [("good", "u", "a", 1), ("good", "u", "b", 2), ("bad", "u", "x", 1)]
    bought = [("all", "u", "a"), ("all", "u", "b"), ("dairy", "u", "b")]

    scored = score_lists(spark.createDataFrame(lists, _LISTS), spark.createDataFrame(bought, _BOUGHT), k=10)

    assert {(row.method, row.segment): row.ndcg for row in scored.collect()} == {
        ("good", "all"): pytest.approx(1.0), ("good", "dairy"): pytest.approx(gain(2)),
        ("bad", "all"): 0.0, ("bad", "dairy"): 0.0,
    }  # fmt: skip
