from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.backtest.rivals import RIVALS
from jobs.backtest.run_backtest import BASELINE, METHODS, summarise

_SCORED = "date string, segment string, user_id string, method string, ndcg double, recall double, hit double"
FIRST, SECOND = "2017-12-02", "2017-12-09"


def scores(date: str, segment: str, user: str, joint: float, rivals: float) -> list[tuple[Any, ...]]:
    ndcg = {"joint": joint, **dict.fromkeys(RIVALS, rivals)}
    return [(date, segment, user, method, value, value / 2, 1.0) for method, value in ndcg.items()]


def test_means_and_intervals_per_date_and_segment_and_over_all_dates(spark: SparkSession) -> None:
    rows = [
        *scores(FIRST, "all", "u", joint=0.5, rivals=0.2),
        *scores(FIRST, "all", "v", joint=0.3, rivals=0.0),
        *scores(SECOND, "all", "u", joint=0.4, rivals=0.1),
        *scores(FIRST, "department Dairy", "u", joint=0.0, rivals=1.0),
    ]

    summary = [row.as_dict() for row in summarise(spark.createDataFrame(rows, _SCORED))]

    places = [(row["segment"], row["date"], row["method"]) for row in summary]
    pairs = [("all", "all"), ("all", FIRST), ("all", SECOND)]
    pairs += [("department Dairy", "all"), ("department Dairy", FIRST)]
    assert places == [(*pair, method) for pair in pairs for method in METHODS]  # the result comes first
    assert summary[0] == {
        "method": "joint", "date": "all", "segment": "all", "ndcg@10": 0.4, "recall@10": 0.2, "hit@10": 1.0,
        "ci_low": 0.3, "ci_high": 0.3, "users": 2,
    }  # fmt: skip
    found = dict(zip(places, summary, strict=True))
    assert found["all", "all", BASELINE]["ndcg@10"] == 0.1
    assert found["all", "all", BASELINE]["ci_low"] is None  # nothing to compare it with but itself
    dairy = found["department Dairy", FIRST, "joint"]
    assert (dairy["users"], dairy["ci_low"], dairy["ci_high"]) == (
        1,
        pytest.approx(-1.0),
        pytest.approx(-1.0),
    )
