"""What declared features should hold, from the events themselves, in plain Python."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from typing import Any

from jobs.features.config import DeclaredFeature as Feature

Event = dict[str, Any]  # with its user, item, day and place, and what the catalogue says of the item
Values = dict[Any, Any]  # something of each key of an entity


def declared_rows(events: Sequence[Event], features: Sequence[Feature], entity: str, day: date) -> Values:
    """Key -> the values of an entity's features as of a day, in the order of their declaration."""
    groups: Values = {}
    for event in sorted(events, key=lambda e: (e["event_time"], e["item"] or "no item", e["event_type"])):
        if event["ds"] < day and (event["event_type"], event["quantity"]) != ("purchase", 0):
            for key in _keys(event, entity):
                groups.setdefault(key, []).append({**event, "days_ago": (day - event["ds"]).days})
    columns = [_column(one, groups, days) for one in features for days in one.windows_days or (1000,)]
    return {key: [column[key] for column in columns if column] for key in groups}


def _keys(event: Event, entity: str) -> list[tuple[Any, ...]]:
    names = ["surface", "place"] if entity == "context" else entity.split("_")
    own = tuple(event.get(name) for name in names)
    of_levels = [(*own[:-1], level, event[level]) for level in ("department", "category", "type")]
    keys = {"category": of_levels, "user_category": of_levels[::2]}.get(entity, [own])
    return [key for key in keys if None not in key]


def _column(one: Feature, groups: Values, days: int) -> Values:
    if one.measure == "trend" and days != one.windows_days[0]:
        return {}
    values = {key: _value(one, events, days) for key, events in groups.items()}
    if one.measure != "share":
        return values
    wholes = {key: events[0][one.within] if one.within else key[:-1] for key, events in groups.items()}
    totals = Counter(of for key, of in wholes.items() if of is not None for _ in range(values[key]))
    return {key: values[key] / totals[of] if totals[of] else None for key, of in wholes.items()}


def _value(one: Feature, events: list[Event], days: int) -> Any:
    def seen(types: Sequence[str], within: int = days) -> list[Event]:
        return [event for event in events if event["event_type"] in types and event["days_ago"] <= within]

    found, of, longest = seen(one.events), one.of or "day", max(one.windows_days, default=days)
    timed = [(event["event_time"], event[of]) for event in found if event[of] is not None]
    values, ages = sorted(value for _, value in timed), sorted({event["days_ago"] for event in found})
    since = min((event["days_ago"] for event in seen(one.since or ())), default=1000)
    rate, weight = (one.prior.rate, one.prior.weight) if one.prior else (0, 0)
    measures: dict[str, Callable[[], Any]] = {
        "count": lambda: sum(event["days_ago"] < since for event in found),
        "share": lambda: len(found),
        "rate": lambda: (len(found) + rate * weight) / (len(seen(one.per or ())) + weight),
        "trend": lambda: len(found) * longest / (len(seen(one.events, longest)) * days),
        "time_since": lambda: ages[0],
        "age": lambda: ages[-1],
        "interval": lambda: (ages[-1] - ages[0]) / (len(ages) - 1),
        "due": lambda: ages[0] * (len(ages) - 1) / (ages[-1] - ages[0]),
        "distinct_count": lambda: len(set(values)),
        "sum": lambda: sum(values),
        "mean": lambda: sum(values) / len(values),
        "min": lambda: values[0],
        "max": lambda: values[-1],
        "last": lambda: max(timed)[1],
        "top_k": lambda: [value for value, _ in Counter(values).most_common(one.length)][::-1] or None,
        "last_n": lambda: [event[of] for event in found][-(one.length or 0) :] or None,
    }
    with suppress(IndexError, ValueError, ZeroDivisionError):  # null: nothing to choose, or to divide by
        return measures[one.measure]()
    return None
