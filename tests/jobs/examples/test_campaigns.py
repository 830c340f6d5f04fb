from datetime import date, timedelta

from pyspark.sql import SparkSession

from jobs.config import load_scenario
from jobs.examples.campaigns import campaign_affinity, finish_campaigns, label_campaigns
from jobs.examples.tables import campaign_examples

DAY = date(2017, 3, 1)
_PURCHASES = "ds date, user_id string, item_id string, line_count long, spend long, discount_line_count long"
_MEMBERS = "user_id string, campaign_id string, campaign_type string, valid_from date, valid_to date"


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


def test_finished_rows_have_all_columns_and_an_id_of_their_own(spark: SparkSession) -> None:
    config = load_scenario("grocery")
    rows = [(DAY, f"u{user}", f"c{campaign}", 1) for user in range(20) for campaign in range(20)]
    rows += [(DAY + timedelta(1), *row[1:]) for row in rows] + [(DAY, "u1", "1c", 0), (DAY, "u11", "c", 0)]
    members = spark.createDataFrame(rows, "ds date, user_id string, campaign_id string, label_coupon int")

    finished = finish_campaigns(members, campaign_examples(config))

    assert finished.columns == campaign_examples(config).column_names
    found = finished.collect()
    assert len({row.example_id for row in found}) == len(rows)
    first = next(row for row in found if row.label_coupon)
    assert (first.example_kind, first.sampling_rate, first.from_candidates) == ("user_campaign", 1.0, True)
    assert (first.item_id, first.label_purchase, first.item_rank) == (None, None, None)
