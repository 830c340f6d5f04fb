"""What declared features should hold, from the events themselves, in plain Python."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

from jobs.features.config import DeclaredFeature

Event = dict[str, Any]
Key = tuple[str, ...]
PATHS = {"i0": ("D0", "D0 / C / T"), "i1": ("D0", "D0 / C / S"), "i2": ("D1", "D1 / C / T")}  # i3 has none


def declared_rows(
    events: Sequence[Event], features: Sequence[DeclaredFeature], entity: str, day: date
) -> dict[Key, list[Any]]:
    """Key of the entity -> the values of its features, in the order of their declaration, as of a day."""
    groups: dict[Key, list[Event]] = {}
    for event in events:
        if event["ds"] < day and (event["event_type"], event["quantity"]) != ("purchase", 0):
            for key in _keys(event, entity):
                groups.setdefault(key, []).append(event)
    asked = [
        (one, w) for one in features for w in one.windows_days or (0,) if one.measure != "trend" or w == 2
    ]
    return {key: [_value(one, groups, key, day, w) for one, w in asked] for key in groups}


def _keys(event: Event, entity: str) -> list[Key]:
    user, item = event["user_id"], event["item_id"]
    top, path = PATHS.get((item or "").split("-")[-1], ("", ""))
    levels = [("department", top), ("category", f"{top} / C"), ("type", path)] if top else []
    if entity == "category":
        return [(path, level) for level, path in levels]
    if entity == "user_category":
        return [(user, *level) for level in levels if level[0] != "category"]
    key = {"user": (user,), "item": (item,), "user_item": (user, item)}[entity]
    return [] if None in key else [key]


def _value(one: DeclaredFeature, groups: dict[Key, list[Event]], key: Key, day: date, window: int) -> Any:
    def seen(key: Key, types: Any = one.events, days: int = window) -> list[Event]:
        oldest = day - timedelta(days or 1000)
        return [event for event in groups[key] if event["event_type"] in types and event["ds"] >= oldest]

    found, of = seen(key), one.of or ""
    days = sorted({event["ds"] for event in found})
    values = [(event["event_time"], event[of]) for event in found if event.get(of) is not None]
    numbers, count, among = [value for _, value in values], float(len(found)), 0.0
    if one.measure in {"trend", "rate", "share"}:
        if one.measure == "trend":
            count, among = count * one.windows_days[1], window * len(seen(key, days=one.windows_days[1]))
        elif one.measure == "share":
            among = sum(len(seen(other)) for other in groups if other[:-1] == key[:-1])
        else:
            among = len(seen(key, one.per)) + (one.prior.weight if one.prior else 0)
            count = count + (one.prior.rate * one.prior.weight if one.prior else 0)
        return count / among if among else None
    if one.measure == "distinct_count":
        return len({event["ds" if of == "day" else f"{of}_id"] for event in found} - {None})
    of_numbers: dict[str, Callable[[list[int]], float]] = {
        "sum": sum,
        "min": min,
        "max": max,
        "mean": lambda numbers: sum(numbers) / len(numbers),
    }
    if one.measure in of_numbers:
        return of_numbers[one.measure](numbers) if numbers else {"sum": 0}.get(one.measure)
    if one.measure == "interval":
        return (days[-1] - days[0]).days / (len(days) - 1) if len(days) > 1 else None
    since = (day - days[-1]).days if days else None
    return {"count": count, "last": max(values)[1] if values else None, "time_since": since}[one.measure]
