"""Faults of landed rows: each sound event draws at most one, from its own key.

Late rows are sound rows that land later. Duplicates, future and broken rows are extra: what remains
without them is the log that would have been written without faults.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.simulator.config import FaultsConfig
from jobs.simulator.random_numbers import Ints, Keys, exponential, uniform
from jobs.simulator.sessions import DAY, SECOND

FAULTS = (
    "none",
    "duplicate_same_day",
    "duplicate_next_day",
    "late_hours",
    "late_days",
    "future_minutes",
    "future_days",
    "null_event_id",
    "null_user_id",
    "null_item_id",
    "bad_event_time",
    "negative_price",
    "unknown_event_type",
)
NONE, SAME_DAY, NEXT_DAY, LATE_HOURS, LATE_DAYS, FUTURE_MINUTES, FUTURE_DAYS, *BROKEN = range(len(FAULTS))
NULL_EVENT_ID, NULL_USER_ID, NULL_ITEM_ID, BAD_EVENT_TIME, NEGATIVE_PRICE, UNKNOWN_TYPE = BROKEN

LATEST_DAYS = 5
"""How many days after its event a late row may land."""

_HOUR = 3600 * SECOND


@dataclass(frozen=True)
class Landed:
    """Rows to be written, one element each: `event` is a row of Events, `fault` an index of FAULTS."""

    event: Ints
    event_time: Ints
    ingested_at: Ints
    fault: Ints


def land(keys: Keys, event_time: Ints, faults: FaultsConfig) -> Landed:
    """When the log learns of the events, named by `keys`: within minutes, but for their faults."""
    event, kind = np.arange(len(keys)), _draw_faults(keys, faults)
    is_late = (kind == LATE_HOURS) | (kind == LATE_DAYS)
    usual = event_time + ((1 + 60 * exponential(keys, "ingestion")) * SECOND).astype(np.int64)
    copies = np.flatnonzero((kind != NONE) & ~is_late)
    copied = kind[copies]
    is_future = (copied == FUTURE_MINUTES) | (copied == FUTURE_DAYS)
    stamps = np.where(is_future, usual[copies] + _ahead(keys[copies], copied), event_time[copies])
    return Landed(
        event=np.concatenate([event, copies]),
        event_time=np.concatenate([event_time, stamps]),
        ingested_at=np.concatenate(
            [usual + _lateness(keys, kind), usual[copies] + DAY * (copied == NEXT_DAY)]
        ),
        fault=np.concatenate([np.where(is_late, kind, NONE), copied]),
    )


def spoil(rows: pa.Table, fault: Ints) -> pa.Table:
    """Breaks the rows whose fault says so; extra rows that are no duplicates get an event id of their own.

    An unusable time is a null where the column is a timestamp, in text it is no time.
    """
    has_own_id = (fault >= FUTURE_MINUTES) & (fault != NULL_EVENT_ID)
    own_id = pc.binary_join_element_wise(rows["event_id"], "x", "-")
    bad_time = "not a time" if pa.types.is_string(rows.schema.field("event_time").type) else None
    for column, is_changed, value in (
        ("event_id", has_own_id, own_id),
        ("event_id", fault == NULL_EVENT_ID, None),
        ("user_id", fault == NULL_USER_ID, None),
        ("item_id", fault == NULL_ITEM_ID, None),
        ("event_time", fault == BAD_EVENT_TIME, bad_time),
        ("price", fault == NEGATIVE_PRICE, pc.negate(rows["price"])),
        ("event_type", fault == UNKNOWN_TYPE, "teleport"),
    ):
        field = rows.schema.field(column)
        new = value if isinstance(value, pa.ChunkedArray) else pa.scalar(value, field.type)
        changed = pc.if_else(pa.array(is_changed), new, rows[column])
        rows = rows.set_column(rows.schema.get_field_index(column), field, changed)
    return rows


def _draw_faults(keys: Keys, faults: FaultsConfig) -> Ints:
    """An index of FAULTS per event; the kinds of one setting are equally likely."""
    shares = np.repeat(
        [faults.duplicates / 2, faults.late / 2, faults.future / 2, faults.broken / len(BROKEN)],
        [2, 2, 2, len(BROKEN)],
    )
    drawn = np.searchsorted(np.cumsum(shares), uniform(keys, "fault"), side="right")
    return np.where(drawn < len(shares), drawn + 1, NONE)


def _lateness(keys: Keys, kind: Ints) -> Ints:
    """Microseconds: 1 to 12 hours, or 1 to `LATEST_DAYS` days; 0 where the row is not late."""
    draw = uniform(keys, "lateness")
    hours = np.where(kind == LATE_HOURS, 1 + 11 * draw, 0)
    days = np.where(kind == LATE_DAYS, 1 + (LATEST_DAYS - 1) * draw, 0)
    return np.asarray(hours * _HOUR + days * DAY).astype(np.int64)


def _ahead(keys: Keys, kind: Ints) -> Ints:
    """Microseconds after the ingestion: 5 to 60 minutes, or 1 to 365 days."""
    draw = uniform(keys, "ahead")
    minutes, days = 5 + 55 * draw, 1 + 364 * draw
    ahead = np.where(kind == FUTURE_MINUTES, minutes * 60 * SECOND, days * DAY)
    return np.asarray(ahead).astype(np.int64)
