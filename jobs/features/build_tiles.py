"""events -> user_item_days, user_days, item_days: a day's partial sums, from which windows are made.

The run of --date builds every day up to it that is missing, in one Spark job, and that day once more.
All sums are integers, so that adding tiles in any order gives the same features.
"""

import sys
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.features.tables import ITEM_DAYS, USER_DAYS, USER_ITEM_DAYS
from jobs.lake.days import days_to_build
from jobs.lake.lake import Lake
from jobs.lake.spark import start_spark
from jobs.logs.tables import EVENTS
from jobs.stage import RowCounts, Run, stage_main


def make_user_item_days(events: DataFrame) -> DataFrame:
    """One row per (day, user, item) bought."""
    return (
        _purchases(events)
        .groupBy("ds", "user_id", "item_id")
        .agg(
            F.count(F.lit(1)).alias("line_count"),
            F.sum("quantity").alias("quantity"),
            F.sum("value").alias("spend"),
            _discount_lines(),
        )
    )


def add_is_new(user_item_days: DataFrame) -> DataFrame:
    """Marks the day of a user's first purchase of an item; rows must reach back to the first day."""
    pair = Window.partitionBy("user_id", "item_id").orderBy("ds")
    return user_item_days.withColumn("is_new", F.row_number().over(pair) == 1)


def make_user_days(events: DataFrame, user_item_days: DataFrame) -> DataFrame:
    """One row per (day, user) with a purchase or a redemption; `user_item_days` have `is_new`."""
    is_purchase = (F.col("event_type") == "purchase") & (F.col("quantity") > 0)
    daily = events.groupBy("ds", "user_id").agg(
        F.count_distinct(F.when(is_purchase, F.col("request_id"))).alias("basket_count"),
        F.count_if(is_purchase).alias("line_count"),
        F.coalesce(F.sum(F.when(is_purchase, F.col("value"))), F.lit(0)).alias("spend"),
        F.count_if(is_purchase & (F.col("discount") > 0)).alias("discount_line_count"),
        F.count_if(F.col("event_type") == "coupon_redeem").alias("redemption_count"),
    )
    new_items = user_item_days.groupBy("ds", "user_id").agg(F.count_if("is_new").alias("new_item_count"))
    active = daily.where((F.col("line_count") > 0) | (F.col("redemption_count") > 0))
    return active.join(new_items, ["ds", "user_id"], "left").fillna(0, ["new_item_count"])


def make_item_days(events: DataFrame, user_item_days: DataFrame) -> DataFrame:
    """One row per (day, item) in an order line; `user_item_days` have `is_new`."""
    sales = user_item_days.groupBy("ds", "item_id").agg(
        F.count(F.lit(1)).alias("user_count"),
        *[F.sum(name).alias(name) for name in ("line_count", "quantity", "spend", "discount_line_count")],
        F.count_if("is_new").alias("new_user_count"),
    )
    lines = events.where(F.col("event_type") == "purchase")
    largest = lines.groupBy("ds", "item_id").agg(F.max("quantity").alias("max_line_quantity"))
    return largest.join(sales, ["ds", "item_id"], "left").fillna(0)


def _purchases(events: DataFrame) -> DataFrame:
    return events.where((F.col("event_type") == "purchase") & (F.col("quantity") > 0))


def _discount_lines() -> Column:
    return F.count_if(F.col("discount") > 0).alias("discount_line_count")


def build_tiles(run: Run, lake: Lake) -> RowCounts:
    """Builds the missing days up to the run's date, and that date; returns rows per table."""
    spark, first_day = start_spark(run.runtime), run.scenario.logs.first_day
    digest = run.scenario.digest("logs")
    counts = {table.name: 0 for table in (USER_ITEM_DAYS, USER_DAYS, ITEM_DAYS)}
    for days in days_to_build((first_day, run.date), lake.built_days(ITEM_DAYS, digest)):
        events = lake.read(spark, EVENTS, days)
        counts["user_item_days"] += lake.replace_days(
            make_user_item_days(events), USER_ITEM_DAYS, days, digest
        )
        pairs = add_is_new(lake.read(spark, USER_ITEM_DAYS, (first_day, days[1])))
        pairs = pairs.where(F.col("ds").between(*days))
        counts["user_days"] += lake.replace_days(make_user_days(events, pairs), USER_DAYS, days, digest)
        # The item days come last: their commit says that the days are built.
        counts["item_days"] += lake.replace_days(make_item_days(events, pairs), ITEM_DAYS, days, digest)
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "tiles", build_tiles, argv)


if __name__ == "__main__":
    sys.exit(main())
