"""Raw events of any source -> events of the day that they belong to, with the books of every row.

A row is late_held while it is not known yet, and for good if it was learned more than the horizon after
its day; else filtered if the settings leave it out; else quarantined if it breaks the contract; else kept, or
a duplicate of a kept one.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.logs.columns_config import TYPES_WITHOUT_ITEM
from jobs.logs.config import CompleteJourneyLogs, MappedLogs
from jobs.logs.conversions import to_local
from jobs.logs.tables import EVENTS

# What a source says of a row beside the event: the books it is counted in, its file, its text as JSON, the
# landing day of its file if that has one, what could not be read of it, whether it has to have an item (null:
# by its type), whether the source's settings leave it out, and whether an amount of money was rounded.
_ABOUT_THE_ROW = {
    "source": "string",
    "file": "string",
    "row": "string",
    "landing_day": "date",
    "fault": "string",
    "needs_item": "boolean",
    "is_filtered": "boolean",
    "is_rounded": "boolean",
}
_IDENTITY = ["ds", "source", "event_id"]  # good rows that share it are copies of one event

Logs = CompleteJourneyLogs | MappedLogs


def raw_event_columns(given: Mapping[str, Column]) -> list[Column]:
    """All columns of a raw event in the contract's types; what is not given is null."""
    types = {column.name: column.type for column in EVENTS.columns} | _ABOUT_THE_ROW
    if unknown := sorted(set(given) - set(types)):
        raise ValueError(f"a raw event has no columns {unknown}")
    return [given.get(name, F.lit(None)).cast(kind).alias(name) for name, kind in types.items()]


def judge(rows: DataFrame, logs: Logs, known_through: date) -> DataFrame:
    """Adds to raw events `ds`, `learned_day`, `is_held` and `reason`, the first rule broken (null if none).

    `ds` is the event day. A row whose time is not usable, or that came too late for its day, belongs to the
    day on which it was learned; the first day of the log stands in where that is not known either.
    """
    event_day, ingested_day = _day("event_time", logs), _day("ingested_at", logs)
    learned_day = F.coalesce("landing_day", ingested_day, event_day)
    days = rows.withColumns({"_event_day": event_day, "learned_day": learned_day})
    timed = days.withColumn("_time_fault", _time_fault(logs))
    is_usable = F.col("_time_fault").isNull()
    is_too_late = is_usable & (F.date_diff("learned_day", "_event_day") > logs.late_horizon_days)
    belongs = F.when(is_usable & ~is_too_late, F.col("_event_day")).otherwise(
        _within_log("learned_day", logs)
    )
    is_unknown = is_usable & (F.col("learned_day") > F.lit(known_through))
    return timed.withColumns(
        {
            "ds": belongs,
            "is_held": is_too_late | is_unknown,
            "is_filtered": F.coalesce("is_filtered", F.lit(False)),
            "reason": F.coalesce("fault", "_time_fault", _broken_rule()),
        }
    ).drop("_event_day", "_time_fault")


def _day(instant: str, logs: Logs) -> Column:
    return F.to_date(to_local(F.col(instant), logs.time_zone))


def _time_fault(logs: Logs) -> Column:
    """The day after a row was learned may have begun, by another clock; what is later is an error."""
    day, end = F.col("_event_day"), _end(logs)
    fault = (
        F.when(day.isNull(), "event_time is null")
        .when(day < F.lit(logs.first_day), "event_time before the first day of the log")
        .when(day > F.date_add("learned_day", 1), "event_time in the future: after the day it was learned")
    )
    return (
        fault.when(day > F.lit(end), "event_time in the future: after the last day of the log")
        if end
        else fault
    )


def _within_log(day: str, logs: Logs) -> Column:
    end = _end(logs)
    is_within = F.col(day) >= F.lit(logs.first_day)
    is_within &= (F.col(day) <= F.lit(end)) if end else F.lit(True)
    return F.when(is_within, F.col(day)).otherwise(F.lit(logs.first_day))


def _end(logs: Logs) -> date | None:
    """The day after the last complete one may have begun."""
    return logs.last_day + timedelta(days=1) if logs.last_day else None


def _broken_rule() -> Column:
    has_item = F.coalesce("needs_item", ~F.col("event_type").isin(*TYPES_WITHOUT_ITEM))
    return (
        F.when(F.col("event_id").isNull(), "event_id is null")
        .when(F.col("user_id").isNull(), "user_id is null")
        .when(F.col("event_type").isNull(), "event_type is null")
        .when(has_item & F.col("item_id").isNull(), "item_id is null")
        .when((F.col("event_type") == "coupon_redeem") & F.col("coupon_id").isNull(), "coupon_id is null")
        .when((F.col("event_type") == "purchase") & F.col("quantity").isNull(), "quantity is null")
        .when((F.col("event_type") == "rating") & F.col("rating").isNull(), "rating is null")
        .when(F.col("quantity") < 0, "quantity is negative")
        .when((F.col("value") < 0) | (F.col("price") < 0), "price is negative")
        .when(F.col("discount") < 0, "discount is negative")
    )


def count_rows(rows: DataFrame) -> DataFrame:
    """The books of judged rows, per day and source; good rows of one id are duplicates of one another."""
    copies = rows.groupBy(
        "ds", "source", "event_id", "is_held", "is_filtered", _is_good().alias("is_good")
    ).agg(F.count(F.lit(1)).alias("copies"), F.max("is_rounded").alias("is_rounded"))

    def total(condition: Column) -> Column:
        return F.coalesce(F.sum(F.when(condition, F.col("copies"))), F.lit(0))

    good, kept = total(F.col("is_good")), F.count_if("is_good")
    return copies.groupBy("ds", "source").agg(
        F.sum("copies").alias("read"),
        kept.alias("kept"),
        (good - kept).alias("duplicate"),
        total(F.col("is_held")).alias("late_held"),
        total(~F.col("is_held") & ~F.col("is_filtered") & ~F.col("is_good")).alias("quarantined"),
        total(~F.col("is_held") & F.col("is_filtered")).alias("filtered"),
        F.count_if(F.col("is_good") & F.col("is_rounded")).alias("rounded"),
    )


def _is_good() -> Column:
    return ~F.col("is_held") & ~F.col("is_filtered") & F.col("reason").isNull()


def select_quarantined(rows: DataFrame) -> DataFrame:
    bad = rows.where(~F.col("is_held") & ~F.col("is_filtered") & F.col("reason").isNotNull())
    return bad.select("ds", F.col("file").alias("source"), "row", "reason")


def select_events(rows: DataFrame) -> DataFrame:
    """The good rows of judged rows, in the columns of `events`."""
    good = rows.where(_is_good())
    learned_at = F.coalesce("ingested_at", "event_time")
    return good.withColumn("ingested_at", learned_at).select(EVENTS.column_names)


def drop_duplicates(rows: DataFrame, are_few: bool) -> DataFrame:
    """Of good rows with one id, keeps the one learned first: a later delivery changes nothing.

    Where duplicates are few, their ids go to every task, so that all other rows stay where they are.
    """
    good = rows.where(_is_good())
    if not are_few:
        return _keep_first(good)
    repeated = F.broadcast(good.groupBy(*_IDENTITY).count().where("count > 1").select(*_IDENTITY))
    once = good.join(repeated, _IDENTITY, "left_anti")
    return once.unionByName(_keep_first(good.join(repeated, _IDENTITY, "left_semi")))


def _keep_first(good: DataFrame) -> DataFrame:
    copies = Window.partitionBy(*_IDENTITY).orderBy("learned_day", "ingested_at", "row", "file")
    return good.withColumn("_copy", F.row_number().over(copies)).where(F.col("_copy") == 1).drop("_copy")


def find_late_days(rows: DataFrame, learned: tuple[date, date]) -> Sequence[date]:
    """Days before `learned` that have judged rows learned on it, so that they must be built again."""
    is_late = F.col("learned_day").between(*learned) & (F.col("ds") < F.lit(learned[0])) & ~F.col("is_held")
    found = rows.where(is_late).select("ds").distinct().collect()
    return sorted(row.ds for row in found)
