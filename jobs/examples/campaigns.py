"""Examples of campaigns: one row per member, anchored on the campaign's first day, written when it ends."""

from datetime import timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.examples.feature_columns import add_user_features
from jobs.examples.tables import campaign_examples
from jobs.features.tables import USER_ITEM_DAYS, user_features
from jobs.lake.columns import Table
from jobs.lake.days import DayRange
from jobs.lake.lake import Lake
from jobs.logs.tables import CAMPAIGN_MEMBERS, EVENTS, PROMOTIONS
from jobs.stage import Run

KIND = "user_campaign"


def label_campaigns(members: DataFrame, events: DataFrame) -> DataFrame:
    """(ds, user_id, campaign_id, campaign_type, closes_on, label_coupon); ds is the campaign's first day."""
    redeemed = events.where(F.col("event_type") == "coupon_redeem").select(
        "user_id", F.col("context")["campaign_id"].alias("campaign_id"), F.col("ds").alias("redeemed_on")
    )
    keys = ["user_id", "campaign_id"]
    in_time = (
        members.join(redeemed, keys)
        .where(F.col("redeemed_on").between(F.col("valid_from"), F.col("valid_to")))
        .select(*keys, F.lit(1).alias("label_coupon"))
        .distinct()
    )
    return members.join(in_time, keys, "left").select(
        F.col("valid_from").alias("ds"),
        "user_id",
        "campaign_id",
        "campaign_type",
        F.col("valid_to").alias("closes_on"),
        F.coalesce("label_coupon", F.lit(0)).alias("label_coupon"),
    )


def campaign_affinity(members: DataFrame, coupons: DataFrame, purchases: DataFrame) -> DataFrame:
    """(user_id, campaign_id, campaign_affinity): earlier lines of the member with the campaign's products.

    `members` have the anchor in `ds`; only purchases of earlier days count.
    """
    products = (
        coupons.where(F.col("kind") == "coupon")
        .select(F.col("promotion_id").alias("campaign_id"), "item_id")
        .distinct()
    )
    lines = purchases.select("user_id", "item_id", F.col("ds").alias("day"), "line_count")
    matched = (
        members.select("ds", "user_id", "campaign_id")
        .join(lines, "user_id")
        .where(F.col("day") < F.col("ds"))
        .join(F.broadcast(products), ["campaign_id", "item_id"])
    )
    return matched.groupBy("user_id", "campaign_id").agg(
        F.sum("line_count").cast("double").alias("campaign_affinity")
    )


def finish_campaigns(rows: DataFrame, table: Table) -> DataFrame:
    """Gives the rows of members all columns of the table (null where they have none) and their id."""
    identified = rows.withColumns(
        {
            "example_kind": F.lit(KIND),
            "example_id": F.xxhash64(F.lit(KIND), "ds", "user_id", "campaign_id"),
            "sampling_rate": F.lit(1.0),
            "from_candidates": F.lit(True),
        }
    )
    present = set(identified.columns)
    return identified.select(
        [
            F.col(field.name) if field.name in present else F.lit(None).cast(field.dataType).alias(field.name)
            for field in table.spark_schema()
        ]
    )


def read_campaign_examples(spark: SparkSession, run: Run, lake: Lake, days: DayRange) -> DataFrame:
    """Examples of the campaigns that closed within `days` and began after the log's first day."""
    config = run.scenario
    first = config.logs.first_day + timedelta(days=1)
    history = (config.logs.first_day, run.date)
    members = lake.read(spark, CAMPAIGN_MEMBERS).where(
        F.col("valid_to").between(*days) & (F.col("valid_from") >= first)
    )
    labelled = label_campaigns(members, lake.read(spark, EVENTS, history))
    users = lake.read(spark, user_features(config.features), (first, run.date))
    featured = add_user_features(labelled, users, config.features, config.model.columns)
    affinity = campaign_affinity(
        labelled, lake.read(spark, PROMOTIONS), lake.read(spark, USER_ITEM_DAYS, history)
    )
    featured = featured.join(affinity, ["user_id", "campaign_id"], "left").fillna(0.0, ["campaign_affinity"])
    finished = finish_campaigns(featured, campaign_examples(config))
    closes = featured.select("user_id", "campaign_id", "closes_on")
    return finished.drop("ds").join(closes, ["user_id", "campaign_id"]).withColumnRenamed("closes_on", "ds")
