"""events -> attributed_events: which anchor event (an impression) each later event belongs to, by last touch.

An event belongs to the last anchor event before it of the same user and item (and the same request or
session, if the scenario says so), if its label window [at, at + W days), on the clock of the scenario's time
zone, holds the event. An anchor event belongs to itself.
"""

from datetime import timedelta

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.examples.config import ExamplesConfig
from jobs.examples.tables import attributed_events
from jobs.lake.days import DayRange
from jobs.lake.lake import Lake
from jobs.logs.tables import EVENTS
from jobs.stage import Run

_BUILT_IN = ("purchase",)  # the labels that need no declaration are over these


def attribute_events(events: DataFrame, config: ExamplesConfig, time_zone: str) -> DataFrame:
    """The rows of `events` that belong to an anchor event, with its id and, as `ds`, its day."""
    is_anchor = F.col("event_type") == config.anchor
    is_none = (F.col("event_type") == "purchase") & (F.col("quantity") == 0)
    wanted = events.where(
        F.col("event_type").isin(config.anchor, *_BUILT_IN, *sorted(config.label_events))
        & ~F.coalesce(is_none, F.lit(False))
    )
    local = F.from_utc_timestamp("event_time", time_zone)
    timed = wanted.withColumns({"_local": local, "_follows": ~is_anchor, "_scope": _scope(config)})
    in_order = Window.partitionBy("user_id", "item_id", "_scope").orderBy(
        "event_time", "_follows", "event_id"
    )
    until_now = in_order.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    anchor = F.struct(F.col("event_id").alias("id"), "_local", "ds")
    touched = timed.withColumn("_anchor", F.last(F.when(is_anchor, anchor), ignorenulls=True).over(until_now))
    window_end = F.col("_anchor._local") + F.make_dt_interval(days=F.lit(config.label_window_days))
    attributed = touched.where(F.col("_local") < window_end)
    return attributed.withColumns({"anchor_id": F.col("_anchor.id"), "ds": F.col("_anchor.ds")})


def _scope(config: ExamplesConfig) -> Column:
    scopes = {"request": F.col("request_id"), "session": F.col("context")["session"]}
    return scopes.get(config.attributed_within or "", F.lit(None).cast("string"))


def read_attributed(spark: SparkSession, run: Run, lake: Lake, days: DayRange) -> DataFrame:
    """The rows of attributed_events for the anchor events of a range of days."""
    scenario = run.scenario
    last = days[1] + timedelta(days=scenario.examples.closes_after_days)
    events = lake.read(spark, EVENTS, (days[0], last))
    rows = attribute_events(events, scenario.examples, scenario.logs.time_zone)
    return rows.where(F.col("ds").between(*days)).select(attributed_events(scenario).column_names)
