"""logs -> events, items, users, promotions, campaign_members; bad rows -> quarantine with the reason.

The run of --date loads every day up to it that has not been loaded yet, in one Spark job, and that
day itself once more. Rows reconcile: read = kept + duplicate + late_held + quarantined.
"""

import sys
from collections.abc import Sequence
from datetime import date, timedelta
from functools import reduce

import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import LogsConfig
from jobs.lake.days import days_to_build, missing_ranges
from jobs.lake.lake import Lake
from jobs.lake.spark import start_spark
from jobs.logs import completejourney as source
from jobs.logs.tables import (
    CAMPAIGN_MEMBERS,
    EVENTS,
    INGEST_COUNTS,
    ITEMS,
    PROMOTIONS,
    QUARANTINE,
    USERS,
)
from jobs.stage import RowCounts, Run, stage_main

_BEGINNING = date(1970, 1, 1)  # promotions may be older than the log


def add_reason(rows: DataFrame, logs: LogsConfig) -> DataFrame:
    """Adds `reason`, the first rule of the contract that a row breaks (null if none), and its `ds`.

    A row whose time is not usable belongs to the first day of the log. The day after the last complete
    one may have begun; later stamps are errors.
    """
    day = F.to_date("event_time")
    known_event = F.col("event_type") == "purchase"
    first, end = F.lit(logs.first_day), F.lit(logs.last_day + timedelta(days=1))
    reason = (
        F.when(F.col("event_time").isNull(), "event_time is null")
        .when(day < first, "event_time before the first day of the log")
        .when(day > end, "event_time in the future: after the last day of the log")
        .when(F.col("user_id").isNull(), "user_id is null")
        .when(known_event & F.col("item_id").isNull(), "item_id is null")
        .when(~known_event & F.col("coupon_id").isNull(), "coupon_id is null")
        .when(known_event & F.col("quantity").isNull(), "quantity is null")
        .when(F.col("quantity") < 0, "quantity is negative")
        .when(F.col("value") < 0, "price is negative")
        .when(F.col("discount") < 0, "discount is negative")
    )
    unusable = day.isNull() | (day < first) | (day > end)
    return rows.withColumn("reason", reason).withColumn("ds", F.when(unusable, first).otherwise(day))


def count_rows(rows: DataFrame) -> DataFrame:
    """The books of judged rows, per day and source; equal rows are duplicates of one another."""
    copies = rows.groupBy("ds", "source", "event_id", F.col("reason").isNull().alias("is_good")).agg(
        F.count(F.lit(1)).alias("copies")
    )
    read, good = F.sum("copies"), F.coalesce(F.sum(F.when(F.col("is_good"), F.col("copies"))), F.lit(0))
    kept = F.count_if("is_good")
    return copies.groupBy("ds", "source").agg(
        read.alias("read"),
        kept.alias("kept"),
        (good - kept).alias("duplicate"),
        F.lit(0).cast("long").alias("late_held"),
        (read - good).alias("quarantined"),
    )


def select_events(rows: DataFrame) -> DataFrame:
    """The good rows of judged rows, in the columns of `events`."""
    not_given = {"surface": "string", "position": "int", "rating": "double", "query": "string"}
    events = rows.where(F.col("reason").isNull()).withColumn("ingested_at", F.col("event_time"))
    return events.withColumns({name: F.lit(None).cast(kind) for name, kind in not_given.items()}).select(
        EVENTS.column_names
    )


def ingest_logs(run: Run, lake: Lake) -> RowCounts:
    """Loads the missing days up to the run's date, and that date; returns rows per table."""
    logs = run.scenario.logs
    digest = run.scenario.digest("logs")
    folder = source.source_folder(logs.path)
    counts = _load_events(run, lake, digest)
    spark = start_spark(run.runtime)
    today = (logs.first_day, logs.first_day)
    for table, read in ((ITEMS, source.read_items), (USERS, source.read_users)):
        rows = read(spark, folder).withColumn("ds", F.lit(logs.first_day))
        if missing_ranges(today, lake.built_days(table, digest)):
            counts[table.name] = lake.replace_days(rows, table, today, digest)
    known = source.known_until(run.date)
    for table, read in (
        (PROMOTIONS, source.read_promotions),
        (CAMPAIGN_MEMBERS, source.read_campaign_members),
    ):
        for days in days_to_build((_BEGINNING, known), lake.built_days(table, digest)):
            rows = read(spark, folder).withColumn("ds", F.col("valid_from"))
            counts[table.name] = lake.replace_days(
                rows.where(F.col("ds").between(*days)), table, days, digest
            )
    return counts


def _load_events(run: Run, lake: Lake, digest: str) -> dict[str, int]:
    spark, logs = start_spark(run.runtime), run.scenario.logs
    folder = source.source_folder(logs.path)
    raw = [source.read_purchases(spark, folder), source.read_redemptions(spark, folder)]
    judged = add_reason(reduce(DataFrame.unionByName, raw), logs)
    counts = {"events": 0, "quarantine": 0, "ingest_counts": 0}
    for days in days_to_build((logs.first_day, run.date), lake.built_days(EVENTS, digest)):
        rows = judged.where(F.col("ds").between(*days))
        lake.replace_days(count_rows(rows), INGEST_COUNTS, days, digest)
        books = lake.read_arrow(INGEST_COUNTS, days)
        duplicates, quarantined = (pc.sum(books[name]).as_py() or 0 for name in ("duplicate", "quarantined"))
        bad = rows.where(F.col("reason").isNotNull()).select(QUARANTINE.column_names)
        counts["quarantine"] += lake.replace_days(
            bad if quarantined else bad.limit(0), QUARANTINE, days, digest
        )
        events = select_events(rows)
        # The events come last: their commit says that the days are loaded.
        events = events.dropDuplicates(["ds", "event_id"]) if duplicates else events
        counts["events"] += lake.replace_days(events, EVENTS, days, digest)
        counts["ingest_counts"] += books.num_rows
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "ingest", ingest_logs, argv)


if __name__ == "__main__":
    sys.exit(main())
