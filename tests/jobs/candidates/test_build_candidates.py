from datetime import date, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.candidates.build_candidates import add_anchor, make_bought, measure_recall, sample_candidates
from jobs.candidates.channels import BIT

DAY = date(2017, 3, 1)
WEEK = 7
_BOUGHT = "ds date, user_id string, item_id string"
_PROPOSED = f"{_BOUGHT}, channel int"
_PURCHASES = "ds date, user_id string, item_id string, line_count long, spend long, discount_line_count long"


def anchor_of(spark: SparkSession, user: str) -> date:
    """The user's anchor whose window holds DAY."""
    anchor: date = (
        add_anchor(spark.createDataFrame([(DAY, user)], "ds date, user_id string"), WEEK).collect()[0].anchor
    )
    return anchor


def test_bought_sums_the_days_of_the_label_window_only(spark: SparkSession) -> None:
    anchor = anchor_of(spark, "u")
    last, next_anchor = anchor + timedelta(WEEK - 1), anchor + timedelta(WEEK)
    rows = [
        (anchor, "u", "i", 1, 100, 0), (last, "u", "i", 2, 50, 1), (next_anchor, "u", "i", 4, 9, 0),
        (last, "u", "j", 1, 7, 0),
    ]  # fmt: skip
    nothing = spark.createDataFrame([], "item_id string, since date")

    bought = make_bought(spark.createDataFrame(rows, _PURCHASES), nothing, WEEK)

    assert sorted(map(tuple, bought.collect())) == [
        (anchor, "u", "i", 3, 150, 1), (anchor, "u", "j", 1, 7, 0), (next_anchor, "u", "i", 4, 9, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("days_before_the_anchor", "counts"),
    [pytest.param(1, False, id="known at the anchor"), pytest.param(0, True, id="only on the day itself")],
)
def test_an_excluded_item_is_no_purchase(
    spark: SparkSession, days_before_the_anchor: int, counts: bool
) -> None:
    anchor = anchor_of(spark, "u")
    purchase = spark.createDataFrame([(anchor, "u", "fuel", 1, 100, 0)], _PURCHASES)
    since = anchor - timedelta(days_before_the_anchor)

    bought = make_bought(
        purchase, spark.createDataFrame([("fuel", since)], "item_id string, since date"), WEEK
    )

    assert (bought.count() == 1) == counts


@pytest.fixture
def proposed(spark: SparkSession) -> DataFrame:
    """4,000 pairs: every tenth item by two channels."""
    pairs = [(DAY, f"u{user}", f"i{item}", BIT["popular"]) for user in range(40) for item in range(100)]
    again = [(*pair[:3], BIT["on_promotion"]) for pair in pairs if pair[2].endswith("0")]
    return spark.createDataFrame([*pairs, *again], _PROPOSED)


def test_sampling_keeps_what_was_bought_and_about_the_rate_of_the_rest(
    spark: SparkSession, proposed: DataFrame
) -> None:
    bought = spark.createDataFrame([(DAY, f"u{user}", f"i{user}") for user in range(40)], _BOUGHT)

    rows = sample_candidates(proposed, bought, rate=0.2).collect()
    again = sample_candidates(proposed.repartition(3), bought, rate=0.2).collect()

    kept = {(row.user_id, row.item_id): (row.channels, row.sampling_rate) for row in rows}
    assert len(kept) == len(rows)
    assert {pair for pair, (_, rate) in kept.items() if rate == 1.0} == {
        (f"u{user}", f"i{user}") for user in range(40)
    }
    rest = [rate for _, rate in kept.values() if rate != 1.0]
    assert set(rest) == {0.2}
    assert len(rest) == pytest.approx(0.2 * 3960, rel=0.15)
    assert {channels for pair, (channels, _) in kept.items() if pair[1].endswith("0")} == {
        BIT["popular"] | BIT["on_promotion"]
    }
    assert sorted(rows) == sorted(again)


def test_a_rate_of_1_keeps_every_pair(spark: SparkSession, proposed: DataFrame) -> None:
    sampled = sample_candidates(proposed, spark.createDataFrame([], _BOUGHT), rate=1.0)

    assert sampled.count() == 4000


def test_recall_counts_the_bought_pairs_of_users_that_were_proposed_for(spark: SparkSession) -> None:
    own, popular = BIT["bought_before"], BIT["popular"]
    found = [("u", "i", own | popular), ("u", "j", popular), ("u", "not bought", own), ("v", "i", own)]
    candidates = spark.createDataFrame([(DAY, *row) for row in found], _PROPOSED).withColumnRenamed(
        "channel", "channels"
    )
    pairs = [("u", "i"), ("u", "j"), ("u", "missed"), ("v", "i"), ("a new user", "i")]
    bought = spark.createDataFrame([(DAY, *pair) for pair in pairs], _BOUGHT)
    users = spark.createDataFrame([(DAY, "u"), (DAY, "v")], "ds date, user_id string")

    recall = {row.channel: row for row in measure_recall(candidates, bought, users).collect()}

    assert set(recall) == {*BIT, "union"}
    assert {row.bought_count for row in recall.values()} == {4}
    assert {name: row.found_count for name, row in recall.items() if row.found_count} == {
        "bought_before": 2, "popular": 2, "union": 3
    }  # fmt: skip
    assert (recall["union"].recall, recall["on_promotion"].recall) == (0.75, 0.0)
