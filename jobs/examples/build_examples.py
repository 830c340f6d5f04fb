"""candidates + features + purchases -> examples: one row per candidate kept, labelled; and vocabularies.

An anchor becomes examples once its label window has closed: the run of --date writes the anchors of
`label_window_days` - 1 days earlier (of anchor events: `label_window_days`) and those missing before, and
the campaigns that have ended.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.candidates.build_candidates import add_acted, candidates_digest, item_inputs, user_inputs
from jobs.candidates.channels import add_anchored, add_day_items
from jobs.candidates.tables import CANDIDATES
from jobs.config import ScenarioConfig
from jobs.examples.attribution import read_attributed
from jobs.examples.campaigns import read_campaign_examples
from jobs.examples.day_examples import (
    finish_examples,
    label_events,
    label_pairs,
)
from jobs.examples.day_sequences import add_today, day_sequences
from jobs.examples.interest import label_users
from jobs.examples.tables import VOCABULARIES, attributed_events, campaign_examples, examples
from jobs.features.anchors import training_anchor_days
from jobs.features.co_purchases import add_co_purchased
from jobs.features.tables import category_features, user_features
from jobs.lake.day_tasks import DayDatabase, Input, MakeDay, make_each_day, plan_tasks
from jobs.lake.days import DayRange, days_to_build
from jobs.lake.lake import Lake
from jobs.lake.spark import run_together, start_spark
from jobs.logs.tables import EVENTS
from jobs.stage import RowCounts, Run, stage_main
from mtl_model.data.config import IdField, IdListField


def examples_of_day(config: ScenarioConfig) -> MakeDay:
    table, window = examples(config), config.examples.label_window_days

    def make(database: DayDatabase, day: date) -> dict[str, pa.Table]:
        add_day_items(database, day, window, config.candidates.max_line_quantity)
        add_anchored(database, config.features)
        add_co_purchased(database, config.features)
        if config.examples.has_anchor_events:
            rate, time_zone = config.examples.negative_sampling_rate, config.logs.time_zone
            label_events(database, config.examples.labels, rate, time_zone)
            add_today(database, day_sequences(config))
        else:
            add_acted(database, config.examples.labels)
            label_pairs(database, config.examples.labels)
        if config.interest_task:
            label_users(database, config.examples)
        return {table.name: finish_examples(database, day, config, table)}

    return make


def make_vocabularies(rows: DataFrame, config: ScenarioConfig, run_date: date) -> DataFrame:
    """Values of each field with a vocabulary that `rows` have `min_count` times, as they came to it.

    `rows` have their night, the run date that closed them, in `closed_on`. A value's row follows from the
    first night on which it had been seen often enough, then from the value: later nights only add rows.
    """
    fields = config.model.vocabulary_fields
    pairs = F.explode(F.concat(*[_field_values(field) for field in fields]))
    enough = F.create_map(*[part for field in fields for part in (F.lit(field.name), F.lit(field.min_count))])
    of_night = (
        rows.select("closed_on", pairs.alias("pair"))
        .select("closed_on", "pair.*")
        .where("value is not null")
        .groupBy("field", "value", "closed_on")
        .count()
    )
    until_night = Window.partitionBy("field", "value").orderBy("closed_on")
    is_enough = F.sum("count").over(until_night) >= enough[F.col("field")]
    frequent = (
        of_night.withColumn("since", F.when(is_enough, F.col("closed_on")))
        .groupBy("field", "value")
        .agg(F.sum("count").alias("count"), F.min("since").alias("since"))
        .where("since is not null")
    )
    in_order = Window.partitionBy("field").orderBy("since", "value")
    return frequent.withColumn("row", F.row_number().over(in_order) + 1).withColumn("ds", F.lit(run_date))


def vocabulary_anchor_days(run: Run) -> DayRange:
    """The anchor days whose values are counted: those that all nights of the run's period train on.

    Periods of `vocabulary_days` nights begin with the log.
    """
    period = run.scenario.examples.vocabulary_days
    age = (run.date - run.scenario.logs.first_day).days % period
    last_night = run.date + timedelta(days=period - 1 - age)
    return training_anchor_days(replace(run, date=last_night))[0], training_anchor_days(run)[1]


def read_vocabulary_rows(spark: SparkSession, run: Run, lake: Lake) -> DataFrame:
    """The columns of the examples that make the vocabularies, each with its night."""
    config = run.scenario
    columns = [field.name for field in config.model.vocabulary_fields]
    closed_on = F.date_add("ds", config.examples.closes_after_days).alias("closed_on")
    of_anchors = lake.read(spark, examples(config), vocabulary_anchor_days(run)).select(closed_on, *columns)
    closed = lake.read(spark, campaign_examples(config), (config.logs.first_day, run.date))
    return of_anchors.unionByName(closed.select(F.col("ds").alias("closed_on"), *columns))


def _field_values(field: IdField | IdListField) -> Column:
    """(field, value) of a row's value, or of each in its list."""
    values = F.col(field.name) if isinstance(field, IdListField) else F.array(field.name)
    pairs = F.transform(
        values, lambda value: F.struct(F.lit(field.name).alias("field"), value.cast("string").alias("value"))
    )
    return F.coalesce(pairs, F.array())


def build_examples(run: Run, lake: Lake) -> RowCounts:
    """Builds the missing anchors and campaigns that have closed, and vocabularies; returns rows per table."""
    spark, config = start_spark(run.runtime), run.scenario
    table, campaign_table = examples(config), campaign_examples(config)
    digest = f"{candidates_digest(run)}-{config.digest('model')}"
    of_days = partial(_build_days, run, lake.for_one_table(), digest)
    of_campaigns = partial(_build_campaigns, run, lake.for_one_table(), digest)
    counts = dict(zip((table.name, campaign_table.name), run_together([of_days, of_campaigns]), strict=True))
    if config.model.vocabulary_fields:
        vocabularies = make_vocabularies(read_vocabulary_rows(spark, run, lake), config, run.date)
        counts["vocabularies"] = lake.replace_days(vocabularies, VOCABULARIES, (run.date, run.date), digest)
    return counts


def _build_days(run: Run, lake: Lake, digest: str) -> int:
    config, table, count = run.scenario, examples(run.scenario), 0
    inputs = [
        Input(CANDIDATES, "candidate", bucketed=True),
        Input(user_features(config.features), "users", bucketed=True),
        Input(category_features(config.features), "category"),
        *user_inputs(config),
        *item_inputs(config),
    ]
    if config.examples.has_anchor_events:
        _build_attributed(run, lake)
        inputs.append(Input(attributed_events(config), "attributed", bucketed=True))
    if day_sequences(config):
        inputs.append(Input(EVENTS, "day_event"))
    for days in days_to_build(training_anchor_days(run), lake.built_days(table, digest)):
        tasks = plan_tasks(start_spark(run.runtime), lake, inputs, days, config.features.user_files_per_day)
        make = make_each_day(examples_of_day(config), inputs, [table])
        count += lake.replace_made(tasks, make, [table], days, digest)[table.name]
    return count


def _build_attributed(run: Run, lake: Lake) -> None:
    table = attributed_events(run.scenario)
    digest = run.scenario.digest("logs", "examples")
    for days in days_to_build(training_anchor_days(run), lake.built_days(table, digest)):
        lake.replace_days(read_attributed(start_spark(run.runtime), run, lake, days), table, days, digest)


def _build_campaigns(run: Run, lake: Lake, digest: str) -> int:
    table, count, log_days = campaign_examples(run.scenario), 0, (run.scenario.logs.first_day, run.date)
    for days in days_to_build(log_days, lake.built_days(table, digest)):
        rows = read_campaign_examples(start_spark(run.runtime), run, lake, days)
        count += lake.replace_days(rows, table, days, digest)
    return count


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "examples", build_examples, argv)


if __name__ == "__main__":
    sys.exit(main())
