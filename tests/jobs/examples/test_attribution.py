import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from jobs.examples.attribution import attribute_events
from jobs.examples.config import ExamplesConfig
from jobs.logs.tables import EVENTS
from tests.jobs.drawn_logs import Event, drawn_logs, seeded_logs

ZONE = "America/New_York"
FIRST = datetime(2017, 11, 4, tzinfo=ZoneInfo(ZONE))  # the clocks go back on the 5th
OUTCOMES = ("click", "cart", "purchase")
IGNORED = "favorite"


def examples_config(within: str | None, window_days: int = 1) -> ExamplesConfig:
    return ExamplesConfig.model_validate({
        "anchor": "impression", "attributed_within": within, "label_window_days": window_days,
        "training_weeks": 1, "negative_sampling_rate": 1.0,
        "labels": [{"name": "label_cart", "events": ["cart"], "given": ["click"]}],
    })  # fmt: skip


def make_event(event_id: str, event_type: str, at: datetime, **given: Any) -> Event:
    return {
        "ds": at.astimezone(ZoneInfo(ZONE)).date(),
        "event_id": event_id,
        "event_time": at,
        "user_id": "u",
        "item_id": "i",
        "event_type": event_type,
        "request_id": None,
        "quantity": 1 if event_type == "purchase" else None,
        "context": [],
        **given,
    }


def random_event(chance: random.Random) -> Event:
    """Few users, items, requests and instants, so that ties and repeated impressions are common."""
    kind = chance.choice(("impression", "impression", "impression", *OUTCOMES, IGNORED))
    at = FIRST.astimezone(UTC) + timedelta(hours=chance.choice((0, 1, 23, 24, 25, 26, 47, 48, 49, 72)))
    session = chance.choice((None, "s", "t"))
    return make_event(
        "", kind, at + timedelta(seconds=chance.randint(0, 1)),
        user_id=f"u{chance.randint(0, 1)}", item_id=f"i{chance.randint(0, 1)}",
        request_id=chance.choice(("q", "r")), context=[("session", session)] if session else [],
        quantity=chance.choice((0, 1)) if kind == "purchase" else None,
    )  # fmt: skip


def of_own(logs: list[list[Event]]) -> list[list[Event]]:
    """Users that no other log has."""
    return [
        [
            {**event, "event_id": f"{case}-{number:02}", "user_id": f"{case}-{event['user_id']}"}
            for number, event in enumerate(log)
        ]
        for case, log in enumerate(logs)
    ]


def touched_by(event: Event, log: list[Event], within: str | None, window_days: int) -> Event | None:
    """The anchor that an event belongs to, from the definition: a look at every impression for each event."""
    if event["event_type"] == "impression":
        return event

    def scope(one: Event) -> tuple[Any, ...]:
        of = {"request": one["request_id"], "session": dict(one["context"]).get("session")}.get(within or "")
        return one["user_id"], one["item_id"], of

    before = [
        one for one in log
        if one["event_type"] == "impression" and scope(one) == scope(event)
        and one["event_time"] <= event["event_time"]
    ]  # fmt: skip
    if not before:
        return None
    last = max(before, key=lambda one: (one["event_time"], one["event_id"]))
    shown_at, then = (
        one["event_time"].astimezone(ZoneInfo(ZONE)).replace(tzinfo=None) for one in (last, event)
    )
    return last if then < shown_at + timedelta(days=window_days) else None


def expected_rows(log: list[Event], within: str | None, window_days: int) -> set[tuple[str, str, date]]:
    rows = set()
    for event in log:
        is_none = event["event_type"] == "purchase" and event["quantity"] == 0
        anchor = touched_by(event, log, within, window_days)
        if anchor and not is_none and event["event_type"] != IGNORED:
            rows.add((anchor["event_id"], event["event_id"], anchor["ds"]))
    return rows


def frame(spark: SparkSession, events: list[Event]) -> DataFrame:
    return spark.createDataFrame(pa.Table.from_pylist(events, EVENTS.arrow_schema()))


def rows_of(attributed: DataFrame) -> list[tuple[str, str, date]]:
    return [tuple(row) for row in attributed.select("anchor_id", "event_id", "ds").collect()]


SCOPES = pytest.mark.parametrize("within", [None, "request", "session"])


@SCOPES
@settings(max_examples=3)
@given(logs=drawn_logs(random_event).map(of_own), window_days=st.integers(1, 2))
def test_each_event_belongs_to_its_last_touch(
    spark: SparkSession, within: str | None, logs: list[list[Event]], window_days: int
) -> None:
    check_touches(spark, within, logs, window_days)


@SCOPES
@pytest.mark.acceptance
@pytest.mark.parametrize("window_days", [1, 2])
def test_each_event_of_2000_logs_belongs_to_its_last_touch(
    spark: SparkSession, within: str | None, window_days: int
) -> None:
    check_touches(spark, within, of_own(seeded_logs(random_event, 2000)), window_days)


def check_touches(spark: SparkSession, within: str | None, logs: list[list[Event]], window_days: int) -> None:
    events = [event for log in logs for event in log]

    attributed = attribute_events(
        frame(spark, events).repartition(3), examples_config(within, window_days), ZONE
    )

    found = rows_of(attributed)
    assert len(found) == len(set(found))
    assert set(found) == set().union(*(expected_rows(log, within, window_days) for log in logs))


NOON = datetime(2017, 11, 8, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("delay", "is_attributed"),
    [
        pytest.param(timedelta(0), True, id="at the instant of the impression"),
        pytest.param(timedelta(microseconds=-1), False, id="before it"),
        pytest.param(timedelta(days=1, microseconds=-1), True, id="last instant of the window"),
        pytest.param(timedelta(days=1), False, id="the window is half-open"),
    ],
)
def test_an_event_belongs_to_an_impression_only_inside_the_label_window(
    spark: SparkSession, delay: timedelta, is_attributed: bool
) -> None:
    events = [make_event("shown", "impression", NOON), make_event("clicked", "click", NOON + delay)]

    found = rows_of(attribute_events(frame(spark, events), examples_config(None), "UTC"))

    assert (("shown", "clicked", NOON.date()) in found) == is_attributed


def test_a_purchase_after_midnight_counts_on_the_day_of_the_impression(spark: SparkSession) -> None:
    late = datetime(2017, 11, 8, 23, 59, tzinfo=UTC)
    events = [
        make_event("shown", "impression", late),
        make_event("bought", "purchase", late + timedelta(minutes=2)),
    ]

    rows = attribute_events(frame(spark, events), examples_config(None), "UTC").collect()

    assert {(row.event_id, row.ds) for row in rows} == {("shown", late.date()), ("bought", late.date())}
