"""features -> candidates of the training anchors, and the recall of each channel over the label window.

An anchor's candidates are what `recommend` would have considered on its day, by the same code. The run
of --date writes the anchors whose label window closes on it, and earlier ones that are missing. Where
events are the anchors, the examples are these, and of the candidates only the recall is kept.
"""

import sys
from collections.abc import Sequence
from datetime import date, timedelta

import pyarrow as pa
from pyiceberg.expressions import And, GreaterThanOrEqual, LessThanOrEqual

from jobs.candidates.channels import BIT, add_anchored, add_day_items, channels_of, check_channels, propose
from jobs.candidates.drawn import add_drawn
from jobs.candidates.tables import CANDIDATE_RECALL, CANDIDATES
from jobs.config import ScenarioConfig
from jobs.features.config import DeclaredLabel
from jobs.features.declared import label_sql
from jobs.features.event_tiles import event_days
from jobs.features.tables import (
    CO_PURCHASE_FEATURES,
    USER_ITEM_DAYS,
    declared_tables,
    item_features,
    user_category_features,
    user_item_features,
)
from jobs.lake.day_tasks import DayDatabase, Input, MakeDay, make_each_day, plan_tasks
from jobs.lake.lake import Lake
from jobs.lake.spark import start_spark
from jobs.logs.tables import ITEMS, PROMOTIONS
from jobs.stage import RowCounts, Run, stage_main
from jobs.stages import missing_days

# Of the views of users and items, those that channels and labels read: other features may change freely.
_VIEWS = {
    "user_item", "user_category", "item", "promotion", "catalogue", "purchase", "label_tile",
    "user_item_event", "user_category_event", "item_event",
}  # fmt: skip

# What the anchored users bought within the label window, from tiles of its days.
_BOUGHT = """
SELECT user_id, item_id, sum(line_count)::BIGINT AS line_count, sum(spend)::BIGINT AS spend,
       sum(discount_line_count)::BIGINT AS discount_line_count
FROM purchase
SEMI JOIN anchored USING (user_id)
ANTI JOIN excluded USING (item_id)
GROUP BY user_id, item_id
"""

# What they did within it by the declared labels; pairs that no label tells of drop out.
_LABELLED = """
SELECT user_id, item_id, {labels}
FROM label_tile
SEMI JOIN anchored USING (user_id)
ANTI JOIN excluded USING (item_id)
WHERE item_id IS NOT NULL AND event_type IN ({types})
GROUP BY user_id, item_id
"""

# A pair is drawn by a hash of itself, so that any rerun draws the same.
_SAMPLED = """
SELECT $day AS ds, user_id, item_id, channels,
       CASE WHEN is_acted THEN 1.0 ELSE $rate END::DOUBLE AS sampling_rate
FROM (
    SELECT proposed.*, acted.user_id IS NOT NULL AS is_acted
    FROM proposed LEFT JOIN acted USING (user_id, item_id)
)
WHERE is_acted OR md5_number_lower(concat_ws(chr(31), $day, user_id, item_id)) % 1000000 < $rate * 1000000
ORDER BY user_id, item_id
"""

_RECALL = """
SELECT $day AS ds, channel.name AS channel, coalesce(getvariable('bucket'), 0)::INTEGER AS user_part,
       count(*) AS bought_count,
       count_if(coalesce(channels, 0) & channel.mask != 0) AS found_count,
       count_if(coalesce(channels, 0) & channel.mask != 0) / count(*) AS recall
FROM acted LEFT JOIN proposed USING (user_id, item_id) CROSS JOIN channel
GROUP BY channel.name, channel.mask
ORDER BY channel.name
"""


def item_inputs(config: ScenarioConfig, after: int = 0) -> list[Input]:
    """The views that concern items, which channels and features read, as of `after` days after a task's."""
    window = config.examples.label_window_days
    first = config.logs.first_day

    def overlaps(day: date) -> And:
        as_of = day + timedelta(days=after)
        last = as_of + timedelta(days=window - 1)
        return And(
            LessThanOrEqual(term="valid_from", value=last.isoformat()),
            GreaterThanOrEqual(term="valid_to", value=as_of.isoformat()),
        )

    return [
        Input(item_features(config.features), "item", after, after),
        Input(PROMOTIONS, "promotion", where=overlaps),
        Input(ITEMS, "catalogue", days=(first, first)),
        *[
            Input(table, f"{entity}_event", after, after)
            for entity, table in declared_tables(config.features, of_users=False).items()
        ],
        *([Input(CO_PURCHASE_FEATURES, "co_purchase", after, after)] if config.features.co_purchases else []),
    ]


def user_inputs(config: ScenarioConfig) -> list[Input]:
    """The views of a day that concern the anchored users and what they did in the label window."""
    features, window = config.features, config.examples.label_window_days
    inputs = [
        Input(user_item_features(features), "user_item", bucketed=True),
        Input(user_category_features(features), "user_category", bucketed=True),
        Input(USER_ITEM_DAYS, "purchase", last=window - 1),
    ]
    for entity, table in declared_tables(features, of_users=True).items():
        inputs.append(Input(table, f"{entity}_event", bucketed=True))
    if config.examples.label_events:
        inputs.append(Input(event_days(config), "label_tile", last=window - 1))
    return inputs


def add_acted(database: DayDatabase, labels: Sequence[DeclaredLabel]) -> None:
    """Adds the table acted (user_id, item_id, sums, labels): what anchored users did in the label window."""
    query = _BOUGHT
    if labels:
        types = dict.fromkeys(name for label in labels for name in (*label.events, *label.given))
        of_events = _LABELLED.format(
            labels=", ".join(f"{label_sql(label)} AS {label.name}" for label in labels),
            types=str([*types])[1:-1],
        )
        query = f"SELECT * FROM ({_BOUGHT}) FULL JOIN ({of_events}) USING (user_id, item_id)"
    database.execute(f"CREATE OR REPLACE TEMP TABLE acted AS {query}")


def sample_candidates(database: DayDatabase, day: date, rate: float) -> pa.Table:
    """The proposed pairs that were acted on, and others with probability `rate`."""
    return database.sql(_SAMPLED, params={"day": day, "rate": rate}).to_arrow_table()


def measure_recall(database: DayDatabase, day: date, channels: Sequence[str]) -> pa.Table:
    """Per channel, and for their union, the share of `acted` that it proposed."""
    masks = {**{name: BIT[name] for name in channels}, "union": sum(BIT.values())}
    database.register("channel", pa.table({"name": list(masks), "mask": list(masks.values())}))
    return database.sql(_RECALL, params={"day": day}).to_arrow_table()


def candidates_of_day(config: ScenarioConfig) -> MakeDay:
    window, rules = config.examples.label_window_days, config.candidates
    rate = config.examples.negative_sampling_rate

    def make(database: DayDatabase, day: date) -> dict[str, pa.Table]:
        add_day_items(database, day, window, rules.max_line_quantity)
        add_anchored(database, config.features)
        propose(database, rules)
        if config.examples.drawn:
            add_drawn(database, rules, config.examples.drawn, day)
        add_acted(database, config.examples.labels)
        return {
            CANDIDATES.name: CANDIDATES.arrow_schema().empty_table()
            if config.examples.has_anchor_events
            else sample_candidates(database, day, rate),
            CANDIDATE_RECALL.name: measure_recall(database, day, channels_of(rules)),
        }

    return make


def build_candidates(run: Run, lake: Lake) -> RowCounts:
    """Builds the missing anchors up to the one that closes on the run's date; returns rows per table."""
    spark, config = start_spark(run.runtime), run.scenario
    check_channels(config.candidates, config.features)
    inputs = [one for one in (*user_inputs(config), *item_inputs(config)) if one.view in _VIEWS]
    outputs = (CANDIDATES, CANDIDATE_RECALL)
    counts = dict.fromkeys((table.name for table in outputs), 0)
    for days in missing_days(run, lake, *outputs):
        tasks = plan_tasks(spark, lake, inputs, days, config.features.user_files_per_day)
        make = make_each_day(candidates_of_day(config), inputs, outputs)
        for name, count in lake.replace_made(tasks, make, outputs, days).items():
            counts[name] += count
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "candidates", build_candidates, argv)


if __name__ == "__main__":
    sys.exit(main())
