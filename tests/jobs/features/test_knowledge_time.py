"""Features by knowledge time: of what had been learned when the night ran, and of nothing else."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.config import load_scenario
from jobs.features.declared import declared_columns
from jobs.features.declared_windows import declared_query, features_as_of, place_events
from jobs.features.tables import declared_tables
from jobs.logs.judge_events import drop_duplicates, judge, raw_event_columns, select_events
from jobs.logs.tables import EVENTS
from tests.jobs.features.declared_oracle import Event, declared_rows
from tests.jobs.features.generated_logs import DAYS, drawn_logs, frame, levels_of, random_logs, scenario_with
from tests.jobs.features.test_declared import CONFIG
from tests.jobs.features.tiles import make_event_days

HORIZON = load_scenario("taobao").logs.late_horizon_days
_DELAYS = (0, 0, 1, 2, HORIZON, HORIZON + 1, 30)


def delayed(case: int, log: list[Event]) -> list[Event]:
    """A generated log, each event of which is learned some days later, and some again later still."""
    for number, event in enumerate(log):
        delay = _DELAYS[(case + number) % len(_DELAYS)]
        event["ingested_at"] = event["event_time"] + timedelta(days=delay)
    again = [{**event, "ingested_at": event["ingested_at"] + timedelta(days=1)} for event in log[::3]]
    return [*log, *again]


def known(events: list[Event], night: date) -> list[Event]:
    """The events that a night may use, each once: learned by its end, and not too late for their day."""
    learned = [
        (event, event["ds"] + (event["ingested_at"] - event["event_time"]))
        for event in sorted(events, key=lambda event: event["ingested_at"])
    ]
    first = {event["event_id"]: event for event, day in reversed(learned) if day <= night}
    return [event for event in first.values() if _delay(event) <= timedelta(days=HORIZON)]


def _delay(event: Event) -> timedelta:
    delay: timedelta = event["ingested_at"] - event["event_time"]
    return delay


@settings(max_examples=3)
@given(logs=drawn_logs(), night=st.integers(3, 7))
def test_features_are_made_from_what_had_been_learned_by_the_night(
    spark: SparkSession, logs: list[list[Event]], night: int
) -> None:
    check_features(spark, logs, night)


@pytest.mark.acceptance
def test_features_of_400_logs_are_made_from_what_had_been_learned_by_the_night(spark: SparkSession) -> None:
    check_features(spark, random_logs(400), night=5)


def check_features(spark: SparkSession, generated: list[list[Event]], night: int) -> None:
    logs = [delayed(case, log) for case, log in enumerate(generated)]
    events = [event for log in logs for event in log]
    columns = raw_event_columns({name: F.col(name) for name in EVENTS.column_names if name != "ds"})
    rows = frame(spark, events).select(columns)
    scenario, day = scenario_with(CONFIG), DAYS[night + 1]

    kept = select_events(drop_duplicates(judge(rows, scenario.logs, DAYS[night]), are_few=False))
    tiles = make_event_days(kept, scenario)
    placed = place_events(tiles, levels_of(spark, events), 1, 1).toArrow()

    for entity, table in declared_tables(CONFIG, of_users=True).items():
        features = [feature for feature in CONFIG.declared if feature.entity == entity]
        names = [column.column.name for column in declared_columns(CONFIG, entity)]
        found: dict[tuple[Any, ...], list[Any]] = {}
        query = {table.name: declared_query(CONFIG, entity, table)}
        for _, _, rows_of_day in features_as_of(placed, query, [day]):
            for row in rows_of_day.to_pylist():
                found[tuple(row[name] for name in table.key)] = [row[name] for name in names]
        expected: dict[tuple[Any, ...], list[Any]] = {}
        for log in logs:
            expected |= declared_rows(known(log, DAYS[night]), features, entity, day)
        assert found == expected
