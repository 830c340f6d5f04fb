"""candidates + features + purchases -> examples: one row per candidate kept, labelled.

An anchor becomes examples once its label window has closed: the run of --date writes the anchors of
`label_window_days` - 1 days earlier (of anchor events: `label_window_days`) and those missing before, and
the campaigns that have ended.
"""

import sys
from collections.abc import Sequence
from datetime import date
from functools import partial

import pyarrow as pa

from jobs.candidates.build_candidates import add_acted, item_inputs, user_inputs
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
from jobs.examples.tables import attributed_events, campaign_examples, examples
from jobs.features.co_purchases import add_co_purchased
from jobs.features.tables import category_features, user_features
from jobs.lake.day_tasks import DayDatabase, Input, MakeDay, make_each_day, plan_tasks
from jobs.lake.lake import Lake
from jobs.lake.spark import run_together, start_spark
from jobs.logs.tables import EVENTS
from jobs.stage import RowCounts, Run, stage_main
from jobs.stages import missing_days


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


def build_examples(run: Run, lake: Lake) -> RowCounts:
    """Builds the missing anchors and campaigns that have closed; returns rows per table."""
    config = run.scenario
    table, campaign_table = examples(config), campaign_examples(config)
    of_days = partial(_build_days, run, lake.for_one_table())
    of_campaigns = partial(_build_campaigns, run, lake.for_one_table())
    return dict(zip((table.name, campaign_table.name), run_together([of_days, of_campaigns]), strict=True))


def _build_days(run: Run, lake: Lake) -> int:
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
    for days in missing_days(run, lake, table):
        tasks = plan_tasks(start_spark(run.runtime), lake, inputs, days, config.features.user_files_per_day)
        make = make_each_day(examples_of_day(config), inputs, [table])
        count += lake.replace_made(tasks, make, [table], days)[table.name]
    return count


def _build_attributed(run: Run, lake: Lake) -> None:
    table = attributed_events(run.scenario)
    for days in missing_days(run, lake, table):
        lake.replace_days(read_attributed(start_spark(run.runtime), run, lake, days), table, days)


def _build_campaigns(run: Run, lake: Lake) -> int:
    table, count = campaign_examples(run.scenario), 0
    for days in missing_days(run, lake, table):
        rows = read_campaign_examples(start_spark(run.runtime), run, lake, days)
        count += lake.replace_days(rows, table, days)
    return count


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "examples", build_examples, argv)


if __name__ == "__main__":
    sys.exit(main())
