"""features -> candidates of the training anchors, and the recall of each channel over the label window.

An anchor's candidates are what `recommend` would have considered on its day, by the same code. The run
of --date writes the anchors whose label window closes on it, and earlier ones that are missing.
"""

import sys
from collections.abc import Sequence
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.candidates.channels import (
    BIT,
    AsOf,
    excluded_items,
    merge_channels,
    promoted_share,
    propose,
    without_excluded,
)
from jobs.candidates.tables import CANDIDATE_RECALL, CANDIDATES
from jobs.features.anchors import training_anchor_days
from jobs.features.build_features import features_digest
from jobs.features.categories import item_levels
from jobs.features.tables import (
    ITEM_DAYS,
    USER_ITEM_DAYS,
    item_features,
    user_category_features,
    user_item_features,
)
from jobs.lake.days import DayRange, days_between, days_to_build
from jobs.lake.lake import Lake
from jobs.lake.spark import start_spark
from jobs.logs.tables import ITEMS, PROMOTIONS
from jobs.stage import RowCounts, Run, stage_main

_PAIR = ("ds", "user_id", "item_id")


def add_anchor(purchases: DataFrame, every_days: int) -> DataFrame:
    """Adds `anchor`: the staggered anchor whose label window [anchor, anchor + every_days) holds `ds`."""
    slot = F.pmod(F.xxhash64("user_id"), F.lit(every_days))
    since_anchor = F.pmod(F.unix_date("ds") - slot, F.lit(every_days)).cast("int")
    return purchases.withColumn("anchor", F.date_sub("ds", since_anchor))


def make_bought(user_item_days: DataFrame, excluded: DataFrame, every_days: int) -> DataFrame:
    """(ds, user_id, item_id, sums): what each anchored user bought within the label window of anchor `ds`."""
    sums = ("line_count", "spend", "discount_line_count")
    bought = (
        add_anchor(user_item_days, every_days)
        .groupBy(F.col("anchor").alias("ds"), "user_id", "item_id")
        .agg(*[F.sum(name).alias(name) for name in sums])
    )
    return without_excluded(bought, excluded)


def sample_candidates(proposed: DataFrame, bought: DataFrame, rate: float) -> DataFrame:
    """Merges channels; keeps every bought pair, and others with probability `rate` by a hash of the pair."""
    marked = proposed.join(bought.select(*_PAIR, F.lit(True).alias("is_bought")), list(_PAIR), "left")
    in_sample = F.pmod(F.xxhash64(*_PAIR), F.lit(1_000_000)) < round(rate * 1_000_000)
    merged = merge_channels(marked.where(F.col("is_bought") | in_sample), "is_bought")
    rates = F.when(F.col("is_bought"), F.lit(1.0)).otherwise(F.lit(rate))
    return merged.withColumn("sampling_rate", rates).drop("is_bought")


def measure_recall(candidates: DataFrame, bought: DataFrame, users: DataFrame) -> DataFrame:
    """Recall of each channel per anchor day; `users` (ds, user_id) are those that were proposed for."""
    masks = {**BIT, "union": sum(BIT.values())}
    all_masks = F.array(
        *[F.struct(F.lit(name).alias("name"), F.lit(bit).alias("bit")) for name, bit in masks.items()]
    )
    pairs = bought.select(*_PAIR).join(users, ["ds", "user_id"], "left_semi")
    by_mask = (
        pairs.join(candidates.select(*_PAIR, "channels"), list(_PAIR), "left")
        .groupBy("ds", F.coalesce("channels", F.lit(0)).alias("channels"))
        .agg(F.count(F.lit(1)).alias("bought"))
        .withColumn("mask", F.explode(all_masks))
    )
    is_found = F.col("channels").bitwiseAND(F.col("mask.bit")) != 0
    found = F.coalesce(F.sum(F.when(is_found, F.col("bought"))), F.lit(0))
    return by_mask.groupBy("ds", F.col("mask.name").alias("channel")).agg(
        F.sum("bought").alias("bought_count"),
        found.alias("found_count"),
        F.try_divide(found, F.sum("bought")).alias("recall"),
    )


def build_candidates(run: Run, lake: Lake) -> RowCounts:
    """Builds the missing anchors up to the one that closes on the run's date; returns rows per table."""
    spark, scenario = start_spark(run.runtime), run.scenario
    window, features = scenario.examples.label_window_days, scenario.features
    digest = candidates_digest(run)
    counts = {"candidates": 0, "candidate_recall": 0}
    for days in days_to_build(training_anchor_days(run), lake.built_days(CANDIDATE_RECALL, digest)):
        as_of_days = spark.createDataFrame([(day,) for day in days_between(*days)], "ds date")
        item_days = lake.read(spark, ITEM_DAYS, (scenario.logs.first_day, days[1]))
        excluded = excluded_items(item_days, scenario.candidates.max_line_quantity)
        user_category = lake.read(spark, user_category_features(features), days)
        as_of = AsOf(
            user_item=lake.read(spark, user_item_features(features), days),
            user_category=user_category,
            items=lake.read(spark, item_features(features), days),
            promoted=promoted_share(lake.read(spark, PROMOTIONS), as_of_days, window),
            levels=item_levels(lake.read(spark, ITEMS)),
        )
        bought = make_bought(_purchases_of(lake, days, run), excluded, window).where(
            F.col("ds").between(*days)
        )
        proposed = propose(as_of, excluded, scenario.candidates)
        candidates = sample_candidates(proposed, bought, scenario.examples.negative_sampling_rate)
        counts["candidates"] += lake.replace_days(candidates, CANDIDATES, days, digest)
        users = user_category.select("ds", "user_id").distinct()
        recall = measure_recall(lake.read(spark, CANDIDATES, days), bought, users)
        # The recall comes last: its commit says that the anchors are built.
        counts["candidate_recall"] += lake.replace_days(recall, CANDIDATE_RECALL, days, digest)
    return counts


def _purchases_of(lake: Lake, anchors: DayRange, run: Run) -> DataFrame:
    last = anchors[1] + timedelta(days=run.scenario.examples.label_window_days - 1)
    return lake.read(start_spark(run.runtime), USER_ITEM_DAYS, (anchors[0], last))


def candidates_digest(run: Run) -> str:
    return f"{features_digest(run)}-{run.scenario.digest('candidates', 'examples')}"


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "candidates", build_candidates, argv)


if __name__ == "__main__":
    sys.exit(main())
