from datetime import date, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.candidates.build_candidates import add_anchor, make_bought
from jobs.config import ScenarioConfig, load_scenario
from jobs.examples.build_examples import (
    campaign_affinity,
    department_names,
    finish_examples,
    label_campaigns,
    label_interest,
    label_pairs,
    make_vocabularies,
)
from jobs.examples.tables import campaign_examples, check_fields, examples

DAY = date(2017, 3, 1)
WEEK = 7
_PURCHASES = "ds date, user_id string, item_id string, line_count long, spend long, discount_line_count long"
_CANDIDATES = "ds date, user_id string, item_id string, channels int, sampling_rate double"
_MEMBERS = "user_id string, campaign_id string, campaign_type string, valid_from date, valid_to date"


@pytest.fixture(scope="module")
def config() -> ScenarioConfig:
    return load_scenario("grocery")


@pytest.fixture(scope="module")
def anchor(spark: SparkSession) -> date:
    """The anchor of user `u` whose label window holds DAY."""
    row = add_anchor(spark.createDataFrame([(DAY, "u")], "ds date, user_id string"), WEEK).collect()[0]
    found: date = row.anchor
    return found


def bought_on(spark: SparkSession, anchor: date, *rows: tuple[str, int, int, int, int]) -> DataFrame:
    """What `u` bought; rows are (item, days after the anchor, lines, cents, lines on discount)."""
    purchases = [(anchor + timedelta(after), "u", item, *sums) for item, after, *sums in rows]
    nothing = spark.createDataFrame([], "item_id string, since date")
    return make_bought(spark.createDataFrame(purchases, _PURCHASES), nothing, WEEK)


def test_labels_hold_what_was_bought_in_the_window_of_the_anchor(spark: SparkSession, anchor: date) -> None:
    bought = bought_on(
        spark, anchor,
        ("first day", 0, 1, 250, 0), ("last day", WEEK - 1, 2, 300, 1), ("day after", WEEK, 1, 100, 1),
        ("day before", -1, 1, 100, 1), ("missed", 3, 1, 999, 1),
    ).where(f"ds = '{anchor}'")  # fmt: skip
    names = ("first day", "last day", "day after", "day before", "never")
    candidates = spark.createDataFrame([(anchor, "u", name, 1, 0.1) for name in names], _CANDIDATES)

    labelled = label_pairs(candidates, bought)

    columns = ("from_candidates", "sampling_rate", "label_purchase", "label_spend", "label_buys_on_discount")
    assert {row.item_id: tuple(row[name] for name in columns) for row in labelled.collect()} == {
        "first day": (True, 0.1, 1, 250, 0),
        "last day": (True, 0.1, 1, 300, 1),
        "day after": (True, 0.1, 0, 0, None),
        "day before": (True, 0.1, 0, 0, None),
        "never": (True, 0.1, 0, 0, None),
        "missed": (False, 1.0, 1, 999, 1),  # bought, though no channel proposed it
    }


def test_interest_has_one_row_per_user_and_anchor_in_the_order_of_departments(
    spark: SparkSession, anchor: date
) -> None:
    purchases = spark.createDataFrame(
        [
            (anchor, "u", "milk", 1, 1, 0), (anchor + timedelta(1), "u", "milk", 1, 1, 0),
            (anchor + timedelta(6), "u", "beer", 1, 1, 0), (anchor + timedelta(7), "u", "soap", 1, 1, 0),
            (anchor, "u", "unknown", 1, 1, 0),
        ],
        _PURCHASES,
    )  # fmt: skip
    paths = [("milk", "DAIRY"), ("beer", "ALCOHOL"), ("soap", "DRUG"), ("unknown", None)]
    levels = spark.createDataFrame(paths, "item_id string, department_id string")
    users = spark.createDataFrame([(anchor, "u"), (anchor, "bought nothing")], "ds date, user_id string")
    names = department_names(levels)

    interest = label_interest(purchases, levels, users, names, WEEK)

    assert names == ["ALCOHOL", "DAIRY", "DRUG"]
    assert sorted(map(tuple, interest.collect())) == [
        (anchor, "bought nothing", [0, 0, 0]), (anchor, "u", [1, 1, 0])
    ]  # fmt: skip


_REDEMPTIONS = {  # user: days after the first of the campaign, which lasts 21 days; the label
    "never": ([], 0),
    "the day before the campaign": ([-1], 0),
    "its first day": ([0], 1),
    "its last day": ([20], 1),
    "the day after it": ([21], 0),
    "before and within": ([-1, 5], 1),
    "several times": ([5, 6, 30], 1),
}


def test_a_coupon_counts_only_within_its_campaign(spark: SparkSession) -> None:
    last = DAY + timedelta(20)
    members = spark.createDataFrame([(user, "c", "A", DAY, last) for user in _REDEMPTIONS], _MEMBERS)
    of_campaign = {"campaign_id": "c"}
    redemptions = [
        (user, "coupon_redeem", DAY + timedelta(day), of_campaign)
        for user, (days, _) in _REDEMPTIONS.items()
        for day in days
    ]
    others = [
        ("never", "coupon_redeem", DAY, {"campaign_id": "other"}),
        ("no member", "coupon_redeem", DAY, of_campaign),
        ("never", "purchase", DAY, of_campaign),
    ]
    events = spark.createDataFrame(
        [*redemptions, *others], "user_id string, event_type string, ds date, context map<string,string>"
    )

    labelled = label_campaigns(members, events)

    assert sorted(map(tuple, labelled.collect())) == sorted(
        (DAY, user, "c", "A", last, label) for user, (_, label) in _REDEMPTIONS.items()
    )


def test_affinity_counts_purchases_before_the_campaign_of_its_products(spark: SparkSession) -> None:
    members = spark.createDataFrame(
        [(DAY, "u", "c"), (DAY, "v", "c")], "ds date, user_id string, campaign_id string"
    )
    coupons = spark.createDataFrame(
        [("coupon", "c", "k1", "milk"), ("coupon", "c", "k2", "milk"), ("coupon", "other", "k3", "beer"),
         ("placement", "c", None, "soap")],
        "kind string, promotion_id string, coupon_id string, item_id string",
    )  # fmt: skip
    before = DAY - timedelta(1)
    purchases = spark.createDataFrame(
        [(before, "u", "milk", 2, 1, 0), (before - timedelta(90), "u", "milk", 1, 1, 0),
         (DAY, "u", "milk", 50, 1, 0),
         (before, "u", "beer", 9, 1, 0), (before, "u", "soap", 9, 1, 0)],
        _PURCHASES,
    )  # fmt: skip

    affinity = campaign_affinity(members, coupons, purchases)

    assert list(map(tuple, affinity.collect())) == [("u", "c", 3.0)]


def test_finished_rows_have_all_columns_and_an_id_of_their_own(
    spark: SparkSession, config: ScenarioConfig
) -> None:
    pairs = [(DAY, f"u{user}", f"i{item}") for user in range(20) for item in range(20)]
    pairs += [(DAY + timedelta(1), *pair[1:]) for pair in pairs] + [(DAY, "u1", "1i"), (DAY, "u11", "i")]
    rows = spark.createDataFrame(pairs, "ds date, user_id string, item_id string")
    of_users = rows.select("ds", "user_id").distinct()
    table, campaigns = examples(config), campaign_examples(config)

    user_items = finish_examples(rows, table, "user_item")
    user_days = finish_examples(of_users, table, "user_day")
    members = rows.selectExpr("ds", "user_id", "item_id AS campaign_id")
    finished = user_items.unionByName(user_days).unionByName(
        finish_examples(members, campaigns, "user_campaign")
    ).collect()  # fmt: skip

    assert len({row.example_id for row in finished}) == len(finished) == 2 * 802 + of_users.count()
    first = finished[0]
    assert (first.example_kind, first.sampling_rate, first.from_candidates) == ("user_item", 1.0, True)
    assert (first.campaign_id, first.label_coupon, first.item_rank) == (None, None, None)
    assert user_items.columns == table.column_names
    assert set(members.columns) < set(campaigns.column_names)


def test_an_example_keeps_its_id_whatever_else_it_carries(
    spark: SparkSession, config: ScenarioConfig
) -> None:
    row = spark.createDataFrame(
        [(DAY, "u", "i", 3)], "ds date, user_id string, item_id string, item_rank long"
    )

    ids = {
        finish_examples(rows, examples(config), "user_item").collect()[0].example_id
        for rows in (row, row.drop("item_rank"), row.select("item_id", "user_id", "ds"))
    }

    assert len(ids) == 1


def with_id_fields(config: ScenarioConfig, **min_counts: int) -> ScenarioConfig:
    fields = [{"kind": "id", "name": name, "min_count": count} for name, count in min_counts.items()]
    model = {**config.model.model_dump(), "fields": fields}
    return ScenarioConfig.model_validate({**config.model_dump(), "model": model})


def test_vocabularies_hold_frequent_values_the_most_frequent_first(
    spark: SparkSession, config: ScenarioConfig
) -> None:
    scenario = with_id_fields(config, brand=2, campaign_type=1)
    brands = ["b", "a", "often", "often", "often", "a", "b", "once", None]
    rows: list[tuple[Any, ...]] = [(brand, "A" if brand == "a" else None) for brand in brands]
    seen = spark.createDataFrame(rows, "brand string, campaign_type string")

    vocabularies = make_vocabularies(seen, scenario, DAY).collect()

    names = ("field", "row", "value", "count", "ds")
    assert sorted(tuple(row[name] for name in names) for row in vocabularies) == [
        ("brand", 2, "often", 3, DAY), ("brand", 3, "a", 2, DAY), ("brand", 4, "b", 2, DAY),
        ("campaign_type", 2, "A", 2, DAY),
    ]  # fmt: skip


def test_a_field_that_no_job_makes_is_named(config: ScenarioConfig) -> None:
    scenario = with_id_fields(config, brand=1, mood=1)

    with pytest.raises(ValueError, match=r"columns that no feature job makes: \['mood'\]"):
        check_fields(scenario)
