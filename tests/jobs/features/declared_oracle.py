"""What declared features should hold, from the events themselves, in plain Python."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

from jobs.features.config import DeclaredFeature

Event = dict[str, Any]
Key = tuple[str, ...]
PATHS = {"i0": ("D0", "D0 / C / T"), "i1": ("D0", "D0 / C / S"), "i2": ("D1", "D1 / C / T")}  # i3 has none
BRANDS = {"i0": "b0", "i2": "b0", "i3": "b1"}  # i1 has none


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
    columns = [_values(one, groups, day, w) for one, w in asked]
    return {key: [column[key] for column in columns] for key in groups}


def _keys(event: Event, entity: str) -> list[Key]:
    user, item = event["user_id"], event["item_id"]
    brand = BRANDS.get((item or "").split("-")[-1])
    key = {"user": (user,), "item": (item,), "user_item": (user, item), "brand": (brand,)}.get(entity)
    key = (user, brand) if entity == "user_brand" else key
    if key:
        return [] if None in key else [key]
    levels = [level for level in _parents(item or "") if level[0] != "brand"]
    if entity == "category":
        return [(path, level) for level, path in levels]
    return [(user, *level) for level in levels if level[0] != "category"]


def _parents(item: str) -> list[tuple[str, str]]:
    suffix = item.split("-")[-1]
    top, path = PATHS.get(suffix, ("", ""))
    levels = [("department", top), ("category", f"{top} / C"), ("type", path)] if top else []
    return [*levels, *([("brand", BRANDS[suffix])] if suffix in BRANDS else [])]


def _values(one: DeclaredFeature, groups: dict[Key, list[Event]], day: date, window: int) -> dict[Key, Any]:
    def seen(events: list[Event], types: Any = one.events, days: int = window) -> list[Event]:
        oldest = day - timedelta(days or 1000)
        return [event for event in events if event["event_type"] in types and event["ds"] >= oldest]

    if one.measure != "share":
        return {key: _value(one, events, seen, day, window) for key, events in groups.items()}
    wholes = {key: _whole(one, key) for key in groups}
    counts, totals = {key: len(seen(events)) for key, events in groups.items()}, Counter[Any]()
    for key, count in counts.items():
        totals[wholes[key]] += count
    return {key: count / totals[wholes[key]] if wholes[key] is not None and totals[wholes[key]] else None
            for key, count in counts.items()}  # fmt: skip


def _whole(one: DeclaredFeature, key: Key) -> Any:
    of_items = dict(_parents(key[0])).get(one.within or "")
    return {"item": of_items, "category": key[1:], "brand": ()}.get(one.entity, key[:-1])


def _list(one: DeclaredFeature, found: list[Event], day: date) -> list[Any] | None:
    found = sorted(
        found, key=lambda e: (e["event_time"], e["item_id"] is None, e["item_id"], e["event_type"])
    )
    values = [_listed(event, one.of or "", day) for event in found]
    if one.measure == "last_n":
        return values[-(one.length or 0) :] or None
    counts = Counter(value for value in values if value is not None)
    return sorted(counts, key=lambda value: (-counts[value], value))[: one.length][::-1] or None


def _listed(event: Event, of: str, day: date) -> Any:
    if of == "days_ago":
        return (day - event["ds"]).days
    return event.get(of) or event.get(f"{of}_id") or dict(_parents(event["item_id"] or "")).get(of)


def _value(
    one: DeclaredFeature, events: list[Event], seen: Callable[..., list[Event]], day: date, window: int
) -> Any:
    found, of = seen(events), one.of or ""
    days = sorted({event["ds"] for event in found})
    values = [(event["event_time"], event[of]) for event in found if event.get(of) is not None]
    numbers, count, among = [value for _, value in values], float(len(found)), 0.0
    if one.measure in {"trend", "rate"}:
        if one.measure == "trend":
            count, among = count * one.windows_days[1], window * len(seen(events, days=one.windows_days[1]))
        else:
            among = len(seen(events, one.per)) + (one.prior.weight if one.prior else 0)
            count = count + (one.prior.rate * one.prior.weight if one.prior else 0)
        return count / among if among else None
    if one.measure in {"top_k", "last_n"}:
        return _list(one, found, day)
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
