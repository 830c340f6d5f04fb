"""events -> user_item_days, user_days, item_days: a day's partial sums, from which windows are made.

The run of --date builds every day up to it that is missing, in one Spark job, and that day once more.
All sums are integers, so that adding tiles in any order gives the same features.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.features.event_tiles import (
    context_days,
    declared_types,
    event_days,
    has_contexts,
    make_context_days,
    tile_query,
)
from jobs.features.tables import ITEM_DAYS, USER_DAYS, USER_ITEM_DAYS
from jobs.features.user_windows import BATCH_ROWS
from jobs.lake.buckets import buckets_of
from jobs.lake.columns import Table
from jobs.lake.day_tasks import DayTask, open_day, read_tasks, task_frame
from jobs.lake.files import Batches, MadeRows, Make
from jobs.lake.lake import Lake
from jobs.lake.spark import run_together, start_spark
from jobs.logs.tables import EVENTS
from jobs.stage import RowCounts, Run, stage_main
from jobs.stages import missing_days


def make_user_item_days(events: DataFrame) -> DataFrame:
    """One row per (day, user, item) bought."""
    return (
        _purchases(events)
        .groupBy("ds", "user_id", "item_id")
        .agg(
            F.count(F.lit(1)).alias("line_count"),
            F.sum("quantity").alias("quantity"),
            F.coalesce(F.sum("value"), F.lit(0)).alias("spend"),
            _discount_lines(),
        )
    )


def find_first_purchases(user_item_days: DataFrame) -> DataFrame:
    """(user_id, item_id, ds): each pair's first purchase; rows must reach back to the first day."""
    return user_item_days.groupBy("user_id", "item_id").agg(F.min("ds").alias("ds"))


def make_user_days(events: DataFrame, first_purchases: DataFrame) -> DataFrame:
    """One row per (day, user) with a purchase or a redemption."""
    is_purchase = (F.col("event_type") == "purchase") & (F.col("quantity") > 0)
    daily = events.groupBy("ds", "user_id").agg(
        F.count_distinct(F.when(is_purchase, F.col("request_id"))).alias("basket_count"),
        F.count_if(is_purchase).alias("line_count"),
        F.coalesce(F.sum(F.when(is_purchase, F.col("value"))), F.lit(0)).alias("spend"),
        F.count_if(is_purchase & (F.col("discount") > 0)).alias("discount_line_count"),
        F.count_if(F.col("event_type") == "coupon_redeem").alias("redemption_count"),
    )
    new_items = first_purchases.groupBy("ds", "user_id").agg(F.count(F.lit(1)).alias("new_item_count"))
    active = daily.where((F.col("line_count") > 0) | (F.col("redemption_count") > 0))
    return active.join(new_items, ["ds", "user_id"], "left").fillna(0, ["new_item_count"])


def make_item_days(events: DataFrame, user_item_days: DataFrame, first_purchases: DataFrame) -> DataFrame:
    """One row per (day, item) in an order line."""
    sales = user_item_days.groupBy("ds", "item_id").agg(
        F.count(F.lit(1)).alias("user_count"),
        *[F.sum(name).alias(name) for name in ("line_count", "quantity", "spend", "discount_line_count")],
    )
    new_users = first_purchases.groupBy("ds", "item_id").agg(F.count(F.lit(1)).alias("new_user_count"))
    lines = events.where(F.col("event_type") == "purchase")
    largest = lines.groupBy("ds", "item_id").agg(F.max("quantity").alias("max_line_quantity"))
    sold = largest.join(sales, ["ds", "item_id"], "left").join(new_users, ["ds", "item_id"], "left")
    return sold.fillna(0)


def _purchases(events: DataFrame) -> DataFrame:
    return events.where((F.col("event_type") == "purchase") & (F.col("quantity") > 0))


def _discount_lines() -> Column:
    return F.count_if(F.col("discount") > 0).alias("discount_line_count")


def build_tiles(run: Run, lake: Lake) -> RowCounts:
    """Builds the missing days up to the run's date, and that date; returns rows per table."""
    spark, first_day = start_spark(run.runtime), run.scenario.logs.first_day
    tables = (USER_ITEM_DAYS, USER_DAYS, ITEM_DAYS)
    counts = {table.name: 0 for table in tables}
    for days in missing_days(run, lake, *tables):
        events = lake.read(spark, EVENTS, days)
        counts["user_item_days"] += lake.replace_days(make_user_item_days(events), USER_ITEM_DAYS, days)
        firsts = find_first_purchases(lake.read(spark, USER_ITEM_DAYS, (first_day, days[1])))
        firsts = firsts.where(F.col("ds").between(*days)).cache()
        sold = make_item_days(events, lake.read(spark, USER_ITEM_DAYS, days), firsts)
        made = {USER_DAYS: make_user_days(events, firsts), ITEM_DAYS: sold}
        writes = [
            partial(lake.for_one_table().replace_days, rows, table, days) for table, rows in made.items()
        ]
        for table, count in zip(made, run_together(writes), strict=True):
            counts[table.name] += count
        firsts.unpersist()
    if declared_types(run.scenario):
        counts["event_days"] = build_event_days(run, lake)
    if has_contexts(run.scenario):
        counts["context_days"] = build_context_days(run, lake)
    return counts


def build_event_days(run: Run, lake: Lake) -> int:
    table, count = event_days(run.scenario), 0
    for days in missing_days(run, lake, table):
        files = lake.files_by_day(EVENTS, days)
        tasks = [DayTask(day, 0, {"event": [path]}) for day, paths in files.items() for path in paths]
        num_partitions = min(len(tasks), lake.num_partitions)
        frame = task_frame(start_spark(run.runtime), tasks, num_partitions)
        make = _tiles_of_files(table, tile_query(run.scenario))
        count += lake.replace_made(frame, make, [table], days)[table.name]
    return count


def _tiles_of_files(table: Table, query: str) -> Make:
    """Makes the tiles of each file of events: it holds all events of its users and day."""
    schemas = {"event": EVENTS.arrow_schema()}

    def make(batches: Batches) -> Iterator[MadeRows]:
        for day, _, paths in read_tasks(batches):
            written = set()
            with open_day(paths, schemas) as database:
                for batch in database.sql(query).to_arrow_reader(BATCH_ROWS):
                    rows = pa.Table.from_batches([batch])
                    buckets = buckets_of(rows["user_id"], table.files_per_day)
                    for bucket in np.unique(buckets).tolist():
                        yield table.name, day, bucket, rows.filter(pa.array(buckets == bucket))
                        written.add(bucket)
            for bucket in written:
                yield table.name, day, bucket, None

    return make


def build_context_days(run: Run, lake: Lake) -> int:
    table, count = context_days(run.scenario), 0
    for days in missing_days(run, lake, table):
        events = lake.read(start_spark(run.runtime), EVENTS, days)
        count += lake.replace_days(make_context_days(events, run.scenario), table, days)
    return count


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "tiles", build_tiles, argv)


if __name__ == "__main__":
    sys.exit(main())
