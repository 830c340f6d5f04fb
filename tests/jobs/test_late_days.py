from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.candidates.tables import CANDIDATES
from jobs.examples.tables import campaign_examples, examples
from jobs.features.tables import ITEM_DAYS, USER_DAYS, feature_tables, user_features
from jobs.lake.columns import Table
from jobs.lake.days import DayRange
from jobs.lake.lake import Lake
from jobs.late_days import dirty_days, forget_late_days
from jobs.logs.tables import EVENTS
from jobs.stage import Run, make_run

RUN_DATE, LATE = date(2017, 12, 2), date(2017, 11, 20)  # grocery has a label window of 7 days
DAY = timedelta(days=1)


@pytest.fixture
def run(home: Path) -> Run:
    return make_run("grocery", RUN_DATE)


@pytest.mark.parametrize(
    ("table", "first"),
    [
        pytest.param(USER_DAYS, LATE, id="tiles: what was new on a later day may be new no more"),
        pytest.param(None, LATE + DAY, id="features: as of the day itself they do not know it"),
        pytest.param(CANDIDATES, LATE - 6 * DAY, id="anchors whose label window holds the day"),
    ],
)
def test_what_rests_on_a_late_day_is_dirty_up_to_the_day_after_the_run(
    run: Run, table: Table | None, first: date
) -> None:
    dirty = {found.name: days for found, days in dirty_days(run, [LATE, LATE + 3 * DAY])}

    name = table.name if table else user_features(run.scenario.features).name
    assert dirty[name] == [(first, RUN_DATE + DAY)]


def test_only_the_late_days_of_events_are_dirty_and_they_come_last(run: Run) -> None:
    dirty = dirty_days(run, [LATE, LATE + 3 * DAY])

    assert dirty[-1] == (EVENTS, [(LATE, LATE), (LATE + 3 * DAY, LATE + 3 * DAY)])
    names = [table.name for table, _ in dirty]
    assert len(set(names)) == len(names)
    assert {table.name for table in feature_tables(run.scenario.features)} < set(names)
    assert {examples(run.scenario).name, campaign_examples(run.scenario).name} < set(names)


def test_tiles_states_and_features_of_contexts_are_dirty_like_others(home: Path) -> None:
    last = date(2024, 1, 10)

    dirty = {found.name: days for found, days in dirty_days(make_run("shop", last), [last - 2 * DAY])}

    assert dirty["context_days"] == dirty["event_days"] == [(last - 2 * DAY, last - 2 * DAY)]
    assert dirty["context_event_features"] == dirty["context_event_states"] == [(last - DAY, last + DAY)]


def test_built_days_are_forgotten_from_the_late_day_on(spark: SparkSession, lake: Lake, run: Run) -> None:
    built: DayRange = (LATE - 9 * DAY, RUN_DATE)
    rows = spark.createDataFrame([], "ds date")
    empty = rows.withColumns(
        {
            field.name: F.lit(None).cast(field.dataType)
            for field in ITEM_DAYS.spark_schema()
            if field.name != "ds"
        }
    )
    lake.replace_days(empty.select(ITEM_DAYS.column_names), ITEM_DAYS, built)

    forget_late_days(run, lake, [LATE])

    assert lake.built_days(ITEM_DAYS) == [(built[0], LATE - DAY)]
