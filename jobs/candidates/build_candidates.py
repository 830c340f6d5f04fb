"""features -> candidates of the training anchors, and the recall of each channel over the label window.

An anchor's candidates are what `recommend` would have considered on its day, by the same code. The run
of --date writes the anchors whose label window closes on it, and earlier ones that are missing.
"""

import sys
from collections.abc import Sequence
from datetime import date, timedelta

import pyarrow as pa
from pyiceberg.expressions import And, GreaterThanOrEqual, LessThanOrEqual

from jobs.candidates.channels import BIT, add_day_items, propose
from jobs.candidates.tables import CANDIDATE_RECALL, CANDIDATES
from jobs.config import ScenarioConfig
from jobs.features.anchors import training_anchor_days
from jobs.features.build_features import features_digest
from jobs.features.tables import USER_ITEM_DAYS, item_features, user_category_features, user_item_features
from jobs.lake.day_tasks import DayDatabase, Input, MakeDay, make_each_day, plan_tasks
from jobs.lake.days import days_to_build
from jobs.lake.lake import Lake
from jobs.lake.spark import start_spark
from jobs.logs.tables import ITEMS, PROMOTIONS
from jobs.stage import RowCounts, Run, stage_main

# What the anchored users bought within the label window: the views purchase (tiles of its days) and
# user_category (whose users are the anchored ones).
_BOUGHT = """
CREATE OR REPLACE TEMP TABLE bought AS
SELECT user_id, item_id, sum(line_count)::BIGINT AS line_count, sum(spend)::BIGINT AS spend,
       sum(discount_line_count)::BIGINT AS discount_line_count
FROM purchase
SEMI JOIN user_category USING (user_id)
ANTI JOIN excluded USING (item_id)
GROUP BY user_id, item_id
"""

# A pair is drawn by a hash of itself, so that any rerun draws the same.
_SAMPLED = """
SELECT $day AS ds, user_id, item_id, channels,
       CASE WHEN is_bought THEN 1.0 ELSE $rate END::DOUBLE AS sampling_rate
FROM (
    SELECT proposed.*, bought.user_id IS NOT NULL AS is_bought
    FROM proposed LEFT JOIN bought USING (user_id, item_id)
)
WHERE is_bought OR md5_number_lower(concat_ws(chr(31), $day, user_id, item_id)) % 1000000 < $rate * 1000000
ORDER BY user_id, item_id
"""

_RECALL = """
SELECT $day AS ds, channel.name AS channel, count(*) AS bought_count,
       count_if(coalesce(channels, 0) & channel.mask != 0) AS found_count,
       count_if(coalesce(channels, 0) & channel.mask != 0) / count(*) AS recall
FROM bought LEFT JOIN proposed USING (user_id, item_id) CROSS JOIN channel
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
    ]


def user_inputs(config: ScenarioConfig) -> list[Input]:
    """The views of a day that concern the anchored users and what they bought in the label window."""
    features, window = config.features, config.examples.label_window_days
    return [
        Input(user_item_features(features), "user_item", bucketed=True),
        Input(user_category_features(features), "user_category", bucketed=True),
        Input(USER_ITEM_DAYS, "purchase", last=window - 1),
    ]


def add_bought(database: DayDatabase) -> None:
    """Adds the table bought (user_id, item_id, sums): what anchored users bought in the label window."""
    database.execute(_BOUGHT)


def sample_candidates(database: DayDatabase, day: date, rate: float) -> pa.Table:
    """The proposed pairs that were bought, and others with probability `rate`."""
    return database.sql(_SAMPLED, params={"day": day, "rate": rate}).to_arrow_table()


def measure_recall(database: DayDatabase, day: date) -> pa.Table:
    """Per channel, and for their union, the share of `bought` that it proposed."""
    masks = {**BIT, "union": sum(BIT.values())}
    database.register("channel", pa.table({"name": list(masks), "mask": list(masks.values())}))
    return database.sql(_RECALL, params={"day": day}).to_arrow_table()


def candidates_of_day(config: ScenarioConfig) -> MakeDay:
    window, rules = config.examples.label_window_days, config.candidates
    rate = config.examples.negative_sampling_rate

    def make(database: DayDatabase, day: date) -> dict[str, pa.Table]:
        add_day_items(database, day, window, rules.max_line_quantity)
        propose(database, rules)
        add_bought(database)
        return {
            CANDIDATES.name: sample_candidates(database, day, rate),
            CANDIDATE_RECALL.name: measure_recall(database, day),
        }

    return make


def build_candidates(run: Run, lake: Lake) -> RowCounts:
    """Builds the missing anchors up to the one that closes on the run's date; returns rows per table."""
    spark, config = start_spark(run.runtime), run.scenario
    inputs = [*user_inputs(config), *item_inputs(config)]
    outputs = (CANDIDATES, CANDIDATE_RECALL)  # the recall's commit says that the anchors are built
    digest = candidates_digest(run)
    counts = dict.fromkeys((table.name for table in outputs), 0)
    for days in days_to_build(training_anchor_days(run), lake.built_days(CANDIDATE_RECALL, digest)):
        tasks = plan_tasks(spark, lake, inputs, days, config.features.user_files_per_day)
        make = make_each_day(candidates_of_day(config), inputs, outputs)
        for name, count in lake.replace_made(tasks, make, outputs, days, digest).items():
            counts[name] += count
    return counts


def candidates_digest(run: Run) -> str:
    return f"{features_digest(run)}-{run.scenario.digest('candidates', 'examples')}"


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "candidates", build_candidates, argv)


if __name__ == "__main__":
    sys.exit(main())
