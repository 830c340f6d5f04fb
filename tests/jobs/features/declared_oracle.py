"""What declared features should hold, from the events themselves, in plain Python."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from jobs.features.config import DeclaredFeature

Event = dict[str, Any]
Key = tuple[str, ...]
PATHS = {"i0": ("D0", "D0 / C / T"), "i1": ("D0", "D0 / C / S"), "i2": ("D1", "D1 / C / T")}  # i3 has none
PRICE_QUANTILES = {"i0": 0.75, "i1": 0.5, "i2": 0.25}  # within their types; i3 has no price
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


def _item(event: Event) -> dict[str, Any]:
    """What the catalogue says of an event's item, whose id ends with the part that all cases share."""
    suffix = (event["item_id"] or "").split("-")[-1]
    top, path = PATHS.get(suffix, (None, None))
    category = f"{top} / C" if top else None
    quantile = PRICE_QUANTILES.get(suffix)
    return {"department": top, "category": category, "type": path, "brand": BRANDS.get(suffix),
            "price_quantile": quantile}  # fmt: skip


def _keys(event: Event, entity: str) -> list[Key]:
    user, item, of_item = event["user_id"], event["item_id"], _item(event)
    levels = [(level, of_item[level]) for level in ("department", "category", "type")]
    keys: dict[str, list[Key]] = {
        "user": [(user,)],
        "item": [(item,)],
        "category": [(path, level) for level, path in levels],
        "brand": [(of_item["brand"],)],
        "user_item": [(user, item)],
        "user_category": [(user, *levels[0]), (user, *levels[2])],
        "user_brand": [(user, of_item["brand"])],
    }
    return [key for key in keys[entity] if None not in key]


def _values(one: DeclaredFeature, groups: dict[Key, list[Event]], day: date, window: int) -> dict[Key, Any]:
    def seen(events: list[Event], types: Any = one.events, days: int = window) -> list[Event]:
        oldest = day - timedelta(days or 1000)
        return [event for event in events if event["event_type"] in types and event["ds"] >= oldest]

    if one.measure != "share":
        return {key: _value(one, events, seen, day, window) for key, events in groups.items()}
    counts, totals = {key: len(seen(events)) for key, events in groups.items()}, Counter[Any]()
    wholes = {key: _whole(one, key, events) for key, events in groups.items()}
    for key, count in counts.items():
        totals[wholes[key]] += count if wholes[key] is not None else 0
    among = {key: totals[wholes[key]] for key in groups}
    return {key: count / among[key] if among[key] else None for key, count in counts.items()}


def _whole(one: DeclaredFeature, key: Key, events: list[Event]) -> Any:
    of_item = _item(events[0])[one.within] if one.within else None
    return {"item": of_item, "category": key[1:], "brand": ()}.get(one.entity, key[:-1])


def _value(one: DeclaredFeature, events: list[Event], seen: Any, day: date, window: int) -> Any:
    found, of = seen(events), str(one.of)
    told = [{"days_ago": (day - e["ds"]).days, "day": e["ds"], "user": e["user_id"], "item": e["item_id"],
             **_item(e), **e} for e in found]  # fmt: skip
    values = [(event["event_time"], event[of]) for event in told if event.get(of) is not None]
    numbers, count = [value for _, value in values], len(found)
    match one.measure:
        case "trend":
            longer = window * len(seen(events, days=one.windows_days[1]))
            return count * one.windows_days[1] / longer if longer else None
        case "rate":
            among = len(seen(events, one.per)) + (one.prior.weight if one.prior else 0)
            more = one.prior.rate * one.prior.weight if one.prior else 0
            return (count + more) / among if among else None
        case "distinct_count":
            return len(set(numbers))
        case "top_k":
            strongest = sorted(Counter(numbers).items(), key=lambda entry: (-entry[1], entry[0]))
            return [value for value, _ in strongest[: one.length]][::-1] or None
        case "last_n":
            order = ("event_time", "item_id", "event_type")
            told.sort(key=lambda event: [(event[name] is None, event[name]) for name in order])
            return [event[of] for event in told][-(one.length or 0) :] or None
        case "sum" | "min" | "max" | "mean" | "last":
            mean = sum(numbers) / len(numbers) if numbers else None
            least, most = min(numbers, default=None), max(numbers, default=None)
            last = max(values, default=(None, None))[1]
            return {"sum": sum(numbers), "mean": mean, "min": least, "max": most, "last": last}[one.measure]
        case "count":
            newest = max((event["ds"] for event in seen(events, one.since or ())), default=date.min)
            return sum(event["ds"] > newest for event in found)
    return _rhythm(sorted({event["ds"] for event in found}), day).get(one.measure)


def _rhythm(days: list[date], day: date) -> dict[str, Any]:
    if not days:
        return {}
    since, age, gaps = (day - days[-1]).days, (day - days[0]).days, len(days) - 1
    interval, due = ((age - since) / gaps, since * gaps / (age - since)) if gaps else (None, None)
    return {"time_since": since, "age": age, "interval": interval, "due": due}
