"""tiles -> user_features, item_features, category_features, user_category_features, user_item_features.

The run of --date builds the features as of the next day, and those of earlier anchor days that are
missing. A feature as of day a uses only tiles of days before a (docs/decisions/0003-time.md).
"""

import sys
from collections.abc import Sequence
from datetime import timedelta

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig
from jobs.features.anchors import campaign_anchors, scoring_day, staggered_anchors, training_anchor_days
from jobs.features.categories import add_category_levels, item_levels
from jobs.features.plans import USER, USER_CATEGORY, USER_ITEM, USER_LEVELS
from jobs.features.sold_windows import sold_windows
from jobs.features.tables import (
    ITEM_DAYS,
    USER_DAYS,
    USER_ITEM_DAYS,
    feature_tables,
    item_features,
    user_category_features,
    user_features,
    user_item_features,
)
from jobs.features.user_windows import windows_as_of
from jobs.lake.columns import Table
from jobs.lake.days import DayRange, days_to_build
from jobs.lake.lake import Lake
from jobs.lake.spark import start_spark
from jobs.logs.tables import CAMPAIGN_MEMBERS, ITEMS
from jobs.stage import RowCounts, Run, stage_main

_SUMS = ("line_count", "user_count", "quantity", "spend", "discount_line_count", "new_user_count")


def make_item_features(item_days: DataFrame, levels: DataFrame, run: Run, as_of: DayRange) -> DataFrame:
    """Window sums of items, with price, discount share, repeat share and ranks by users in 28 days."""
    config, first_day = run.scenario.features, run.scenario.logs.first_day
    sums = sold_windows(item_days, ["item_id"], "item", config, first_day, as_of)
    known = sums.join(F.broadcast(levels.select("item_id", "department_id", "type_id")), "item_id", "left")

    def rank_in(*group: str) -> Column:
        window = Window.partitionBy("ds", *group).orderBy(F.desc("item_user_count_28d"), "item_id")
        return F.row_number().over(window).cast("long")

    featured = known.withColumns(
        {
            "item_price_28d": F.try_divide(F.col("item_spend_28d"), F.col("item_quantity_28d")),
            "item_discount_share_28d": F.try_divide(
                F.col("item_discount_line_count_28d"), F.col("item_line_count_28d")
            ),
            "item_repeat_share": 1 - F.try_divide(F.col("item_new_user_count"), F.col("item_user_count")),
            "item_rank": rank_in(),
            "item_rank_in_department": rank_in("department_id"),
            "item_rank_in_type": rank_in("type_id"),
        }
    )
    return featured.select(item_features(config).column_names)


def make_category_features(item_days: DataFrame, levels: DataFrame, run: Run, as_of: DayRange) -> DataFrame:
    """Window sums of departments, categories and types."""
    daily = (
        add_category_levels(item_days, levels)
        .groupBy("level", "category_id", "ds")
        .agg(*[F.sum(name).alias(name) for name in _SUMS])
    )
    keys = ["level", "category_id"]
    return sold_windows(daily, keys, "category", run.scenario.features, run.scenario.logs.first_day, as_of)


def make_user_item_features(
    user_item_days: DataFrame, as_of: DataFrame, config: FeaturesConfig, top: int
) -> DataFrame:
    """Features of the `top` items of each user as of the days in `as_of` (user_id, ds)."""
    return windows_as_of(user_item_days, as_of, USER_ITEM, user_item_features(config), config, top)


def make_user_category_features(
    user_item_days: DataFrame, levels: DataFrame, as_of: DataFrame, config: FeaturesConfig
) -> DataFrame:
    """Features of each user's departments and types as of the days in `as_of` (user_id, ds)."""
    daily = (
        add_category_levels(user_item_days, levels, USER_LEVELS)
        .groupBy("user_id", "level", "category_id", "ds")
        .agg(
            F.sum("line_count").alias("line_count"), F.sum("discount_line_count").alias("discount_line_count")
        )
    )
    return windows_as_of(daily, as_of, USER_CATEGORY, user_category_features(config), config)


def make_user_features(user_days: DataFrame, as_of: DataFrame, config: FeaturesConfig) -> DataFrame:
    """Features of each user as of the days in `as_of` (user_id, ds)."""
    return windows_as_of(user_days, as_of, USER, user_features(config), config)


def build_features(run: Run, lake: Lake) -> RowCounts:
    """Builds the features of the missing as-of days up to the day after the run's; returns rows per table."""
    spark = start_spark(run.runtime)
    tables = feature_tables(run.scenario.features)
    digest = features_digest(run)
    counts = dict.fromkeys((table.name for table in tables), 0)
    for table in tables:
        for days in days_to_build(_as_of_days(run, table), lake.built_days(table, digest)):
            rows = _make(spark, run, lake, table, days)
            counts[table.name] += lake.replace_days(rows, table, days, digest)
    return counts


def features_digest(run: Run) -> str:
    """Features depend on these alone: the label window staggers the anchors, the quota bounds the pairs."""
    window, top = run.scenario.examples.label_window_days, run.scenario.candidates.bought_before
    return f"{run.scenario.digest('logs', 'features')}-{window}-{top}"


def _as_of_days(run: Run, table: Table) -> DayRange:
    """User features also serve campaigns, whose examples go back to the beginning of the log."""
    first, _ = training_anchor_days(run)
    if table.name == "user_features":
        first = run.scenario.logs.first_day + timedelta(days=1)
    return first, scoring_day(run)[0]


def _make(spark: SparkSession, run: Run, lake: Lake, table: Table, days: DayRange) -> DataFrame:
    config = run.scenario.features
    history = (run.scenario.logs.first_day, days[1] - timedelta(days=1))
    levels = item_levels(lake.read(spark, ITEMS))
    if table.name in {"item_features", "category_features"}:
        make = make_item_features if table.name == "item_features" else make_category_features
        return make(lake.read(spark, ITEM_DAYS, history), levels, run, days)
    user_days = lake.read(spark, USER_DAYS, history)
    as_of = staggered_anchors(
        user_days.select("user_id").distinct(), days, run.scenario.examples.label_window_days
    )
    if table.name == "user_features":
        campaigns = campaign_anchors(lake.read(spark, CAMPAIGN_MEMBERS), days)
        return make_user_features(user_days, as_of.union(campaigns).distinct(), config)
    pairs = lake.read(spark, USER_ITEM_DAYS, history)
    if table.name == "user_category_features":
        return make_user_category_features(pairs, levels, as_of, config)
    return make_user_item_features(pairs, as_of, config, run.scenario.candidates.bought_before)


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "features", build_features, argv)


if __name__ == "__main__":
    sys.exit(main())
