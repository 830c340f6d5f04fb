"""Sequences at the instants of anchor events, against what the events themselves say."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from jobs.examples.day_sequences import add_today, with_today
from jobs.features.config import DeclaredFeature
from tests.jobs.day_database import day_database

DAY = date(2024, 1, 5)
NOON = datetime(2024, 1, 5, 12, tzinfo=UTC)
DEPARTMENTS = {"i0": "D0", "i1": "D1", "i2": None}
_ORDER = ("event_time", "item_id", "event_type")

Event = dict[str, Any]


def event(user: str, item: str | None, at: datetime, kind: str = "click", quantity: int = 1) -> Event:
    names = ("user_id", "item_id", "event_time", "event_type", "quantity")
    return dict(zip(names, (user, item, at, kind, quantity), strict=True))


def sequence(of: str, length: int = 3) -> DeclaredFeature:
    events = ["click", "purchase"]
    feature = {"entity": "user", "measure": "last_n", "of": of, "length": length, "events": events}
    return DeclaredFeature.model_validate(feature)


def last_events(events: list[Event], user: str, before: datetime, feature: DeclaredFeature) -> Any:
    """The oracle: all events of the user before an instant, sorted, the last of them."""
    found = [
        one for one in events
        if one["user_id"] == user and one["event_time"] < before and one["event_type"] in feature.events
        and (one["event_type"], one["quantity"]) != ("purchase", 0)
    ]  # fmt: skip
    found.sort(key=lambda one: [(one[name] is None, one[name]) for name in _ORDER])
    told = [
        {"item": one["item_id"], "event_type": one["event_type"],
         "department": DEPARTMENTS.get(one["item_id"]), "days_ago": (DAY - one["event_time"].date()).days}
        for one in found
    ]  # fmt: skip
    return [one[str(feature.of)] for one in told][-(feature.length or 0) :] or None


def sequences_of(events: list[Event], anchors: list[Event], features: dict[str, DeclaredFeature]) -> Any:
    """(user, instant) -> the lists: those as of the day by the oracle, their ends by what is tested."""
    start = datetime.combine(DAY, datetime.min.time(), UTC)
    types = {name: "INTEGER[]" if one.of == "days_ago" else "VARCHAR[]" for name, one in features.items()}
    as_of = ", ".join(["user_id VARCHAR, event_time TIMESTAMPTZ", *(f"{n} {t}" for n, t in types.items())])
    rows = [
        (one["user_id"], one["event_time"],
         *(last_events(events, one["user_id"], start, feature) for feature in features.values()))
        for one in anchors
    ]  # fmt: skip
    database = day_database(
        anchor=(as_of, rows),
        item_level=("item_id VARCHAR, department_id VARCHAR", list(DEPARTMENTS.items())),
    )
    of_day = [one for one in events if one["event_time"].date() == DAY]
    names = "event_time TIMESTAMPTZ, user_id VARCHAR, item_id VARCHAR, event_type VARCHAR, quantity BIGINT"
    database.execute(f"CREATE TABLE day_event ({names})")
    if of_day:
        database.register("rows", pa.Table.from_pylist(of_day))
        database.execute("INSERT INTO day_event BY NAME SELECT * FROM rows")
    database.execute("SET TimeZone = 'UTC'")
    add_today(database, features)
    found = database.sql(with_today("SELECT * FROM anchor", features)).to_arrow_table().to_pylist()
    assert len(found) == len(anchors)
    return {(row["user_id"], row["event_time"]): [row[name] for name in features] for row in found}


@pytest.mark.parametrize(
    ("minutes", "items"),
    [
        pytest.param(-61, ["old", "i0"], id="before the first of the day"),
        pytest.param(-60, ["old", "i0"], id="what happens at the instant itself is not before it"),
        pytest.param(-59, ["old", "i0", "i1"], id="after it"),
        pytest.param(5, ["i1", "i0", "i2"], id="the oldest make room"),
    ],
)
def test_a_sequence_holds_what_happened_before_the_instant(minutes: int, items: list[str]) -> None:
    yesterday = NOON - timedelta(days=1)
    events = [
        event("u", "old", yesterday), event("u", "i0", yesterday + timedelta(hours=1)),
        event("u", "i1", NOON - timedelta(hours=1)),
        event("u", "i2", NOON), event("u", "i0", NOON), event("v", "i2", NOON - timedelta(hours=2)),
        event("u", "none", NOON - timedelta(hours=3), "purchase", quantity=0),
        event("u", "seen", NOON - timedelta(hours=3), "impression"),
    ]  # fmt: skip
    anchor = event("u", "i9", NOON + timedelta(minutes=minutes))

    found = sequences_of(events, [anchor], {"items": sequence("item")})

    assert found == {("u", anchor["event_time"]): [items]}


def test_sequences_of_500_users_equal_what_the_events_say() -> None:
    chance, events = random.Random(5), []
    for user in range(500):
        for _ in range(chance.randint(0, 8)):
            at = NOON - timedelta(days=chance.randint(0, 2), hours=chance.randint(0, 2))
            item = chance.choice([None, *DEPARTMENTS])
            kind = chance.choice(["click", "purchase", "impression"])
            events.append(event(f"u{user}", item, at, kind, chance.randint(0, 1)))
    hours = [NOON + timedelta(hours=hour) for hour in (-3, -1, 0, 1)]
    anchors = [event(f"u{user}", "i0", at) for user in range(502) for at in hours]
    features = {of: sequence(of, length) for of, length in
                (("item", 2), ("department", 3), ("event_type", 3), ("days_ago", 9))}  # fmt: skip

    found = sequences_of(events, anchors, features)

    assert found == {
        (one["user_id"], one["event_time"]): [
            last_events(events, one["user_id"], one["event_time"], feature) for feature in features.values()
        ]
        for one in anchors
    }
