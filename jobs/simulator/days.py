"""A day of a range of users: the rows that the log gets from it, the truth beside them, and their counts."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from jobs.simulator.catalogue import HOT_ITEM
from jobs.simulator.config import SimulationConfig
from jobs.simulator.coupons import CAMPAIGN_DAYS
from jobs.simulator.event_rows import Scene, event_table, truth_table
from jobs.simulator.faults import FAULTS, Landed, land
from jobs.simulator.funnel import EVENT_TYPES, Events, chances_of, draw_events, true_labels
from jobs.simulator.impressions import show_items
from jobs.simulator.population import HEAVY_USER, Users
from jobs.simulator.random_numbers import Bools, Ints, child_keys
from jobs.simulator.sessions import (
    DAY,
    MAX_REQUESTS,
    Requests,
    SessionRates,
    count_sessions,
    draw_requests,
)

Counts: TypeAlias = Counter[tuple[str, str]]
"""(measure, name) -> how many."""


@dataclass(frozen=True)
class DayChunk:
    """Some sessions of a day; `landing_day` per row of `events` counts from the first day of the log."""

    events: pa.Table
    landing_day: Ints
    truth: pa.Table
    counts: Counts


def simulate_day(config: SimulationConfig, users: Users, day: int, rates: SessionRates) -> Iterator[DayChunk]:
    """Yields the day in chunks of a bounded number of sessions, whoever's they are."""
    for requests in draw_requests(config, users, day, count_sessions(config, users, day, rates)):
        yield simulate_requests(config, users, day, requests)


def simulate_requests(config: SimulationConfig, users: Users, day: int, requests: Requests) -> DayChunk:
    """What happens from the requests on, as far as it happens before the log ends."""
    scene = Scene(config, day, users, requests, show_items(config, users, day, requests))
    chances = chances_of(scene.shown)
    first_instant = (config.first_day - date(1970, 1, 1)).days * DAY
    coupon_end = first_instant + (day // CAMPAIGN_DAYS + 1) * CAMPAIGN_DAYS * DAY
    drawn = draw_events(scene.shown, chances, coupon_end)
    events = _select(drawn, drawn.event_time < first_instant + config.days * DAY)
    keys = child_keys(scene.shown.keys[events.impression], events.event_type)
    landed = land(keys, events.event_time, config.faults)
    labels = true_labels(scene.shown, chances, coupon_end, config.label_window_days)
    return DayChunk(
        events=event_table(scene, events, landed),
        landing_day=(landed.ingested_at - first_instant) // DAY,
        truth=truth_table(scene, labels),
        counts=_count(scene, events, landed),
    )


def _select(events: Events, rows: Bools) -> Events:
    return Events(*(getattr(events, field.name)[rows] for field in fields(events)))


def _count(scene: Scene, events: Events, landed: Landed) -> Counts:
    """Rows by fault, sound rows by event type, sessions."""
    requests, shown = scene.requests, scene.shown
    sessions = requests.user * 2**32 + requests.number // MAX_REQUESTS
    with_hot_item = sessions[shown.request[shown.item == HOT_ITEM]]
    user = scene.users.number[requests.user[shown.request[events.impression]]]
    by_type = np.bincount(events.event_type, minlength=len(EVENT_TYPES))
    by_fault = np.bincount(landed.fault, minlength=len(FAULTS))
    counts: Counts = Counter()
    counts.update({("events", name): int(count) for name, count in zip(EVENT_TYPES, by_type, strict=True)})
    counts.update({("rows", name): int(count) for name, count in zip(FAULTS, by_fault, strict=True)})
    counts["sessions", "all"] = len(np.unique(sessions))
    counts["sessions_with_item", f"i{HOT_ITEM}"] = len(np.unique(with_hot_item))
    counts["events_of_user", f"u{HEAVY_USER}"] = int((user == HEAVY_USER).sum())
    return counts
