"""Which users are looked at as of which day: the anchors of examples.

A log without impressions has user-days: each user once every `label_window_days`, staggered by a hash of
the user, so that one user's label windows never overlap. Where events are the anchors, each user is looked
at as of every day. Campaigns anchor their members on their first day.
"""

from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake.buckets import bucket_column
from jobs.lake.days import DayRange
from jobs.stage import Run


def training_anchor_days(run: Run) -> DayRange:
    """First and last anchor day of a run's training examples: the last label window closes on its date.

    A log without times has one anchor day, of which no feature knows anything.
    """
    examples, first_day = run.scenario.examples, run.scenario.logs.first_day
    if run.scenario.logs.is_undated:
        return first_day, first_day
    last = run.date - timedelta(days=examples.closes_after_days)
    first = last - timedelta(days=7 * examples.training_weeks - 1)
    return max(first, first_day + timedelta(days=1)), last


def as_of_days(run: Run) -> DayRange:
    """The days as of which features are wanted: those of the training anchors, up to tonight's shelves."""
    return training_anchor_days(run)[0], scoring_day(run)[0]


def user_as_of_days(run: Run) -> DayRange:
    """Features of users also serve campaigns, whose examples go back to the beginning of the log."""
    return run.scenario.logs.first_day + timedelta(days=1), scoring_day(run)[0]


def scoring_day(run: Run) -> DayRange:
    """The anchor day of tonight's recommendations, as a range of one day: the day after the run date."""
    tomorrow = run.date + timedelta(days=1)
    return tomorrow, tomorrow


def staggered_anchors(users: DataFrame, days: DayRange, every_days: int) -> DataFrame:
    """(user_id, ds): the days of the range on which each user of `users` is anchored."""
    all_days = F.explode(F.sequence(F.lit(days[0]), F.lit(days[1]))).alias("ds")
    slot = bucket_column("user_id", every_days)
    return users.select("user_id", all_days).where(F.pmod(F.unix_date("ds"), F.lit(every_days)) == slot)


def add_anchor(rows: DataFrame, every_days: int) -> DataFrame:
    """Adds `anchor`: the staggered anchor whose label window [anchor, anchor + every_days) holds `ds`."""
    slot = bucket_column("user_id", every_days)
    since_anchor = F.pmod(F.unix_date("ds") - slot, F.lit(every_days)).cast("int")
    return rows.withColumn("anchor", F.date_sub("ds", since_anchor))


def campaign_anchors(campaign_members: DataFrame, days: DayRange) -> DataFrame:
    """(user_id, ds): the first days of the campaigns that targeted each user, within the range."""
    starts = campaign_members.where(F.col("valid_from").between(*days))
    return starts.select("user_id", F.col("valid_from").alias("ds")).distinct()
