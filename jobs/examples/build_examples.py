"""candidates + features + purchases -> examples: one row per candidate kept, labelled; and vocabularies.

An anchor becomes examples once its label window has closed: the run of --date writes the anchors of
`label_window_days` - 1 days earlier and those missing before. A label that is not observed for a kind
of example is null: the task is masked there.
"""

import sys
from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.candidates.build_candidates import add_anchor, candidates_digest, make_bought
from jobs.candidates.channels import excluded_items, promoted_share
from jobs.candidates.tables import CANDIDATES
from jobs.config import ScenarioConfig
from jobs.examples.feature_columns import FeatureFrames, add_item_features, add_user_features
from jobs.examples.tables import VOCABULARIES, campaign_examples, examples
from jobs.features.anchors import training_anchor_days
from jobs.features.categories import item_levels
from jobs.features.tables import (
    ITEM_DAYS,
    USER_ITEM_DAYS,
    category_features,
    item_features,
    user_category_features,
    user_features,
    user_item_features,
)
from jobs.lake.columns import Table
from jobs.lake.days import DayRange, days_between, days_to_build
from jobs.lake.lake import Lake
from jobs.lake.spark import start_spark
from jobs.logs.tables import CAMPAIGN_MEMBERS, EVENTS, ITEMS, PROMOTIONS
from jobs.stage import RowCounts, Run, stage_main


def label_pairs(candidates: DataFrame, bought: DataFrame) -> DataFrame:
    """Candidates and what was bought without being one, with the labels of (user, item) tasks."""
    keys = ["ds", "user_id", "item_id"]
    pairs = candidates.withColumn("from_candidates", F.lit(True)).join(bought, keys, "full")
    is_bought = F.col("line_count") > 0
    return pairs.select(
        *keys,
        F.coalesce("from_candidates", F.lit(False)).alias("from_candidates"),
        F.coalesce("sampling_rate", F.lit(1.0)).alias("sampling_rate"),
        F.when(is_bought, 1).otherwise(0).alias("label_purchase"),
        F.when(is_bought, F.col("spend")).otherwise(0).alias("label_spend"),
        F.when(is_bought, (F.col("discount_line_count") > 0).cast("int")).alias("label_buys_on_discount"),
    )


def label_interest(
    user_item_days: DataFrame,
    levels: DataFrame,
    users: DataFrame,
    departments: Sequence[str],
    window_days: int,
) -> DataFrame:
    """(ds, user_id, label_category_interest): per department, 1 if bought from in the label window."""
    bought_from = (
        add_anchor(user_item_days, window_days)
        .join(F.broadcast(levels.select("item_id", "department_id")), "item_id")
        .groupBy(F.col("anchor").alias("ds"), "user_id")
        .agg(F.collect_set("department_id").alias("bought_from"))
    )
    interest = [
        F.coalesce(F.array_contains("bought_from", name), F.lit(False)).cast("int") for name in departments
    ]
    return users.join(bought_from, ["ds", "user_id"], "left").select(
        "ds", "user_id", F.array(*interest).alias("label_category_interest")
    )


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


def finish_examples(rows: DataFrame, table: Table, kind: str) -> DataFrame:
    """Gives rows of one kind all columns of the table (null where the kind has none) and their id."""
    parts = [
        F.coalesce(F.col(name), F.lit(""))
        for name in ("user_id", "item_id", "campaign_id")
        if name in rows.columns
    ]
    identified = rows.withColumns(
        {
            "example_kind": F.lit(kind),
            "example_id": F.xxhash64(F.lit(kind), "ds", *parts),
            "sampling_rate": F.col("sampling_rate") if "sampling_rate" in rows.columns else F.lit(1.0),
            "from_candidates": F.col("from_candidates") if "from_candidates" in rows.columns else F.lit(True),
        }
    )
    present = set(identified.columns)
    return identified.select(
        [
            F.col(field.name) if field.name in present else F.lit(None).cast(field.dataType).alias(field.name)
            for field in table.spark_schema()
        ]
    )


def make_vocabularies(rows: DataFrame, config: ScenarioConfig, run_date: date) -> DataFrame:
    """Values of each id field seen at least `min_count` times, the most frequent first."""
    fields = config.model.id_fields
    pairs = F.explode(
        F.array(*[F.struct(F.lit(f.name).alias("field"), F.col(f.name).alias("value")) for f in fields])
    )
    enough = F.create_map(*[part for field in fields for part in (F.lit(field.name), F.lit(field.min_count))])
    counted = (
        rows.select(pairs.alias("pair"))
        .select("pair.*")
        .where("value is not null")
        .groupBy("field", "value")
        .count()
    )
    order = Window.partitionBy("field").orderBy(F.desc("count"), "value")
    frequent = counted.where(F.col("count") >= enough[F.col("field")])
    return frequent.withColumn("row", F.row_number().over(order) + 1).withColumn("ds", F.lit(run_date))


def read_frames(spark: SparkSession, lake: Lake, config: ScenarioConfig, days: DayRange) -> FeatureFrames:
    """The feature tables as of the days of a range."""
    features = config.features
    as_of_days = spark.createDataFrame([(day,) for day in days_between(*days)], "ds date")
    window = config.examples.label_window_days
    return FeatureFrames(
        users=lake.read(spark, user_features(features), days),
        items=lake.read(spark, item_features(features), days),
        categories=lake.read(spark, category_features(features), days),
        user_category=lake.read(spark, user_category_features(features), days),
        user_item=lake.read(spark, user_item_features(features), days),
        promoted=promoted_share(lake.read(spark, PROMOTIONS), as_of_days, window),
        levels=item_levels(lake.read(spark, ITEMS)),
    )


def department_names(levels: DataFrame) -> list[str]:
    """All departments, sorted: the labels of category_interest, in this order."""
    names = (
        levels.select("department_id").where("department_id is not null").distinct().orderBy("department_id")
    )
    return [row.department_id for row in names.collect()]


def build_examples(run: Run, lake: Lake) -> RowCounts:
    """Builds the missing anchors and campaigns that have closed, and vocabularies; returns rows per table."""
    spark, config = start_spark(run.runtime), run.scenario
    table, campaign_table = examples(config), campaign_examples(config)
    digest = f"{candidates_digest(run)}-{config.digest('model')}"
    counts = {table.name: 0, campaign_table.name: 0}
    anchors = training_anchor_days(run)
    for days in days_to_build(anchors, lake.built_days(table, digest)):
        counts[table.name] += lake.replace_days(
            _user_day_examples(spark, run, lake, days), table, days, digest
        )
    for days in days_to_build((config.logs.first_day, run.date), lake.built_days(campaign_table, digest)):
        rows = _campaign_examples(spark, run, lake, days)
        counts[campaign_table.name] += lake.replace_days(rows, campaign_table, days, digest)
    if config.model.id_fields:
        columns = [field.name for field in config.model.id_fields]
        seen = (
            lake.read(spark, table, anchors)
            .select(columns)
            .unionByName(lake.read(spark, campaign_table).select(columns))
        )
        vocabularies = make_vocabularies(seen, config, run.date)
        counts["vocabularies"] = lake.replace_days(vocabularies, VOCABULARIES, (run.date, run.date), digest)
    return counts


def _user_day_examples(spark: SparkSession, run: Run, lake: Lake, days: DayRange) -> DataFrame:
    config, table = run.scenario, examples(run.scenario)
    window, wanted = config.examples.label_window_days, config.model.columns
    frames = read_frames(spark, lake, config, days)
    item_days = lake.read(spark, ITEM_DAYS, (config.logs.first_day, days[1]))
    excluded = excluded_items(item_days, config.candidates.max_line_quantity)
    purchases = lake.read(spark, USER_ITEM_DAYS, (days[0], days[1] + timedelta(days=window - 1)))
    anchored = frames.user_category.select("ds", "user_id").distinct()
    in_range = F.col("ds").between(*days)
    bought = (
        make_bought(purchases, excluded, window)
        .where(in_range)
        .join(anchored, ["ds", "user_id"], "left_semi")
    )
    pairs = label_pairs(lake.read(spark, CANDIDATES, days), bought)
    pairs = add_item_features(pairs, frames, config.features, wanted)
    user_days = label_interest(purchases, frames.levels, anchored, department_names(frames.levels), window)
    user_days = add_user_features(user_days, frames.users, config.features, wanted)
    return finish_examples(pairs, table, "user_item").unionByName(
        finish_examples(user_days, table, "user_day")
    )


def _campaign_examples(spark: SparkSession, run: Run, lake: Lake, days: DayRange) -> DataFrame:
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
    finished = finish_examples(featured, campaign_examples(config), "user_campaign")
    closes = featured.select("user_id", "campaign_id", "closes_on")
    return finished.drop("ds").join(closes, ["user_id", "campaign_id"]).withColumnRenamed("closes_on", "ds")


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "examples", build_examples, argv)


if __name__ == "__main__":
    sys.exit(main())
