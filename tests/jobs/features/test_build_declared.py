"""Nights that go on from states in the lake, with late rows between them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig, load_runtime
from jobs.features.build_declared import NightlyFeatures, features_of_all
from jobs.features.categories import item_levels
from jobs.features.declared_states import state_plans, state_tables
from jobs.features.declared_windows import declared_query, features_as_of, place_events
from jobs.features.event_tiles import context_days, event_days, make_context_days
from jobs.features.tables import declared_tables
from jobs.lake.days import days_between
from jobs.lake.lake import Lake
from jobs.late_days import forget_late_days
from jobs.logs.tables import ITEMS
from jobs.stage import Run
from tests.jobs.features.declared_oracle import Event
from tests.jobs.features.generated_logs import (
    DAYS,
    FIRST_DAY,
    NUM_DAYS,
    catalogue,
    frame,
    random_logs,
    scenario_with,
)
from tests.jobs.features.tiles import make_event_days

EVENTS = ["cart", "purchase", "rating", "email_sent"]
CONFIG = FeaturesConfig.model_validate(
    {
        "windows_days": [28],
        "half_lives_days": [1],
        "user_files_per_day": 2,
        "declared": [
            {"entity": "user", "measure": "count", "events": EVENTS, "windows_days": [1, 4]},
            {"entity": "user_category", "measure": "share", "events": EVENTS, "windows_days": [4]},
            {"entity": "item", "measure": "last", "of": "value", "events": EVENTS, "windows_days": [3]},
            {
                "entity": "context",
                "measure": "rate",
                "events": ["rating"],
                "per": EVENTS,
                "windows_days": [4],
            },
            {"entity": "context", "measure": "sum", "of": "value", "events": EVENTS, "windows_days": [4]},
            {
                "entity": "item",
                "measure": "distinct_count",
                "of": "user",
                "events": EVENTS,
                "windows_days": [2],
            },
        ],
    }
)
EVERY_DAYS, LATE, LAST = 3, DAYS[4], DAYS[NUM_DAYS]


@pytest.fixture
def run(home: Path) -> Run:
    scenario = scenario_with(CONFIG)
    every_third_day = scenario.examples.model_copy(update={"label_window_days": EVERY_DAYS})
    fields = tuple(field for field in scenario.model.fields if field.name == "item_rank")
    model = scenario.model.model_copy(update={"fields": fields})
    scenario = scenario.model_copy(update={"examples": every_third_day, "model": model})
    return Run(scenario, load_runtime(), LAST - timedelta(days=1), "run", home)


def write_tiles(
    spark: SparkSession, run: Run, lake: Lake, events: list[Event], first: date, last: date
) -> None:
    of_days = [event for event in events if first <= event["ds"] <= last]
    rows, scenario = frame(spark, of_days), run.scenario
    lake.replace_days(make_event_days(rows, scenario), event_days(scenario), (first, last))
    lake.replace_days(make_context_days(rows, scenario), context_days(scenario), (first, last))


def build_night(run: Run, lake: Lake, day: date) -> None:
    users, others = (state_plans(run.scenario, of_users) for of_users in (True, False))
    for plans in (users, *[[plan] for plan in others]):
        NightlyFeatures(run, lake, plans).build(day)


def tables_as_of(run: Run, lake: Lake, day: date) -> dict[str, pa.Table]:
    features = [table for of_users in (True, False) for table in declared_tables(CONFIG, of_users).values()]
    tables = (*state_tables(run.scenario), *features)
    return {table.name: in_order(lake.read_arrow(table, (day, day)), table.key) for table in tables}


def in_order(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """The files of a day come in any order."""
    return rows.sort_by([(name, "ascending") for name in key])


def test_nights_with_late_rows_between_equal_one_night_of_the_whole_log(
    spark: SparkSession, lake: Lake, run: Run
) -> None:
    events = [event for log in random_logs(80) for event in log]
    late = [event for number, event in enumerate(events) if event["ds"] == LATE and number % 3 == 0]
    in_time = [event for event in events if event not in late]
    items = spark.createDataFrame(catalogue(events))
    lakes = lake, replace(lake, scenario="at_once")
    for one in lakes:
        one.replace_days(items, ITEMS, (FIRST_DAY, FIRST_DAY))

    write_tiles(spark, run, lake, in_time, FIRST_DAY, LAST)
    for day in days_between(DAYS[5], DAYS[7]):
        build_night(run, lake, day)
    forget_late_days(run, lake, [LATE])
    write_tiles(spark, run, lake, events, LATE, LATE)
    for day in (DAYS[8], LAST):
        build_night(run, lake, day)
    write_tiles(spark, run, lakes[1], events, FIRST_DAY, LAST)
    build_night(run, lakes[1], LAST)

    by_night, at_once = (tables_as_of(run, one, LAST) for one in lakes)
    for name, rows in at_once.items():
        assert rows.num_rows > 0, name
        assert by_night[name].equals(rows), name
    users = at_once["user_event_states"].num_rows
    assert 0 < at_once["user_event_features"].num_rows < users  # those who are anchored


def test_a_night_reads_the_newest_tile_and_those_that_leave_a_window(
    spark: SparkSession, lake: Lake, run: Run
) -> None:
    """The other tiles of the windows may be gone."""
    events = [event for log in random_logs(40) for event in log]
    items = spark.createDataFrame(catalogue(events))
    lake.replace_days(items, ITEMS, (FIRST_DAY, FIRST_DAY))
    write_tiles(spark, run, lake, events, FIRST_DAY, LAST)
    build_night(run, lake, DAYS[7])
    build_night(run, lake, DAYS[8])
    expected = tables_as_of(run, lake, DAYS[8])

    write_tiles(spark, run, lake, [], FIRST_DAY, DAYS[2])
    write_tiles(spark, run, lake, [], DAYS[4], DAYS[5])  # read are 7, 6, and 3, which leaves the longest
    build_night(run, lake, DAYS[8])

    assert tables_as_of(run, lake, DAYS[8]) == expected
    states = state_tables(run.scenario)
    assert {str(day) for table in states for day in lake.read_arrow(table)["ds"].to_pylist()} == {
        str(DAYS[7]),
        str(DAYS[8]),
    }


def test_a_state_has_the_features_of_users_who_are_not_anchored(
    spark: SparkSession, lake: Lake, run: Run
) -> None:
    events, day = [event for log in random_logs(40) for event in log], DAYS[8]
    items = spark.createDataFrame(catalogue(events))
    lake.replace_days(items, ITEMS, (FIRST_DAY, FIRST_DAY))
    write_tiles(spark, run, lake, events, FIRST_DAY, DAYS[7])
    tiles = place_events(lake.read(spark, event_days(run.scenario)), item_levels(items), 1, 1).toArrow()
    build_night(run, lake, day)
    served = replace(lake, scenario="served")

    for plan in state_plans(run.scenario, of_users=True):
        part = F.pmod(F.xxhash64("user_id"), F.lit(3)).cast("int")
        states = lake.read(spark, plan.state, (day, day)).repartitionById(3, part)
        make = features_of_all(plan, day)
        served.replace_made(states.sortWithinPartitions(*plan.state.key), make, [plan.features], (day, day))
        query = declared_query(CONFIG, plan.entity, plan.features)
        ((_, _, expected),) = features_as_of(tiles, {"": query}, [day])

        assert in_order(served.read_arrow(plan.features), plan.features.key).equals(expected)
