"""What the nights would have achieved: recommendations of a date against what was bought in the days after.

Each date is run as a night (if it has not been published yet), with what was known then; the purchases of
the following label window are read from the source and never enter a table. Beside the joint model stand
rivals that need no model (jobs/backtest/rivals.py).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.backtest.bootstrap import difference_intervals
from jobs.backtest.ranking_metrics import METRICS, score_lists
from jobs.backtest.rivals import RIVALS, rank_rivals
from jobs.features.build_tiles import make_user_item_days
from jobs.features.categories import item_levels
from jobs.features.tables import ITEM_DAYS, USER_DAYS, USER_ITEM_DAYS
from jobs.lake.lake import Lake
from jobs.lake.spark import start_spark
from jobs.logs.judge_events import judge, select_events
from jobs.logs.sources import open_source
from jobs.logs.tables import ITEMS
from jobs.nightly import run_night
from jobs.publish.publications import Publication, read_publications, visible_publications
from jobs.recommend.tables import RECOMMENDATIONS
from jobs.stage import Run, make_run

logger = logging.getLogger(__name__)

LIST_LENGTH = 10
BASELINE = "own_half_life_90d"  # differences are paired with it
METHODS = ("joint", *RIVALS)
_HEAVY_LINES_28D = 50


@dataclass(frozen=True)
class BacktestRow:
    """Means over the users that bought in the segment; the interval: NDCG@10 minus the half-life rival's."""

    method: str
    date: str
    segment: str
    ndcg: float
    recall: float
    hit: float
    ci_low: float | None
    ci_high: float | None
    users: int

    def as_dict(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "date": self.date,
            "segment": self.segment,
            **{f"{name}@{LIST_LENGTH}": round(getattr(self, name), 4) for name in METRICS},
            "ci_low": None if self.ci_low is None else round(self.ci_low, 4),
            "ci_high": None if self.ci_high is None else round(self.ci_high, 4),
            "users": self.users,
        }


def run_backtest(scenario: str, dates: Sequence[date]) -> list[dict[str, Any]]:
    """Rows for every method, date (and `all`) and segment; the joint model's total comes first.

    Raises:
        ConfigError: if a date, or the label window after it, lies outside the log.
        NightFailedError: if the night of a date failed.
    """
    runs = [make_run(scenario, day) for day in sorted(set(dates))]
    window = timedelta(days=runs[0].scenario.examples.label_window_days)
    make_run(scenario, runs[-1].date + window)  # the days after the last date must be in the log
    for run in runs:
        if publication_of(run) is None:
            logger.info("backtest: running the night of %s", run.date)
            run_night(scenario, run.date)
    spark = start_spark(runs[0].runtime)
    scored = reduce(DataFrame.unionByName, [_score_date(spark, run) for run in runs]).cache()
    return [row.as_dict() for row in summarise(scored)]


def summarise(scored: DataFrame) -> list[BacktestRow]:
    """(date, segment, user_id, method, metrics) -> means and intervals, also over all dates."""
    pooled = scored.unionByName(scored.withColumn("date", F.lit("all")))
    means = pooled.groupBy("method", "date", "segment").agg(
        *[F.avg(name).alias(name) for name in METRICS], F.count_distinct("user_id").alias("users")
    )
    baseline = pooled.where(F.col("method") == BASELINE).select(
        "date", "segment", "user_id", F.col("ndcg").alias("base")
    )
    paired = pooled.where(F.col("method") != BASELINE).join(baseline, ["date", "segment", "user_id"])
    intervals = difference_intervals(paired.withColumn("difference", F.col("ndcg") - F.col("base")))
    rows = means.join(intervals, ["method", "date", "segment"], "left").collect()
    found = [BacktestRow(**row.asDict()) for row in rows]
    return sorted(
        found,
        key=lambda row: (
            row.segment != "all",
            row.segment,
            row.date != "all",
            row.date,
            METHODS.index(row.method),
        ),
    )


def _score_date(spark: SparkSession, run: Run) -> DataFrame:
    lake = run.lake()
    history = (run.scenario.logs.first_day, run.date)
    large = F.col("max_line_quantity") > run.scenario.candidates.max_line_quantity
    excluded = lake.read(spark, ITEM_DAYS, history).where(large).select("item_id").distinct()
    tiles = lake.read(spark, USER_ITEM_DAYS, history).join(F.broadcast(excluded), "item_id", "left_anti")
    bought = bought_after(spark, run).join(F.broadcast(excluded), "item_id", "left_anti")
    users = bought.select("user_id").distinct()
    lists = {
        "joint": _published_lists(spark, run, lake),
        **rank_rivals(tiles, users, run.date, LIST_LENGTH),
    }
    frames = [
        frame.select("user_id", "item_id", "rank").withColumn("method", F.lit(name))
        for name, frame in lists.items()
    ]
    segments = _add_segments(spark, run, lake, bought)
    scored = score_lists(reduce(DataFrame.unionByName, frames), segments, LIST_LENGTH)
    return scored.withColumn("date", F.lit(str(run.date)))


def _published_lists(spark: SparkSession, run: Run, lake: Lake) -> DataFrame:
    publication = publication_of(run)
    if publication is None:
        raise ValueError(f"{run.scenario.name} {run.date} has not been published")
    return lake.read(
        spark, RECOMMENDATIONS, (run.date, run.date), publication.snapshots[RECOMMENDATIONS.name]
    )


def publication_of(run: Run) -> Publication | None:
    return visible_publications(read_publications(run.lake())).get(run.date)


def bought_after(spark: SparkSession, run: Run) -> DataFrame:
    """(user_id, item_id) bought in the label window after the run date, straight from the source."""
    logs = run.scenario.logs
    days = run.date + timedelta(days=1), run.date + timedelta(days=run.scenario.examples.label_window_days)
    known_through = days[1] + timedelta(days=logs.late_horizon_days)
    judged = judge(open_source(logs).read_events(spark, days, known_through), logs, known_through)
    events = select_events(judged.where(F.col("ds").between(*days)))
    return make_user_item_days(events).select("user_id", "item_id").distinct()


def _add_segments(spark: SparkSession, run: Run, lake: Lake, bought: DataFrame) -> DataFrame:
    """Repeats what was bought for `all`, the user's activity and the item's department."""
    month = (run.date - timedelta(days=27), run.date)
    active = lake.read(spark, USER_DAYS, month).groupBy("user_id").agg(F.sum("line_count").alias("lines"))
    heavy = F.when(F.col("lines") >= _HEAVY_LINES_28D, "heavy users").otherwise("light users")
    levels = item_levels(lake.read(spark, ITEMS)).select("item_id", "department_id")
    known = bought.join(active, "user_id", "left").join(F.broadcast(levels), "item_id", "left")
    segments = F.array(F.lit("all"), heavy, F.concat(F.lit("department "), F.initcap("department_id")))
    return known.select("user_id", "item_id", F.explode(F.array_compact(segments)).alias("segment"))
