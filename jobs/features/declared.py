"""Declared features -> columns: their names, meanings, and the SQL that makes them from event tiles.

The SQL groups tiles (jobs/features/event_tiles.py) with ds before $day: a window of w days holds ages 1 to w,
where age = $day - ds. Sums are integers, so that the order of rows changes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jobs.config import FeaturesConfig
from jobs.features.config import ALL_DAYS, LISTS, DeclaredFeature, DeclaredLabel, Entity
from jobs.features.declared_lists import MEANINGS, list_sql, list_type
from jobs.features.price_quantiles import QUANTILE_UNITS
from jobs.lake.columns import Column

RATING_UNITS = 1_000_000  # ratings are summed in fixed point; all other values are integers

_USER_SHARE_WITHIN = {"user_item": "user_id", "user_category": "user_id, level", "user_brand": "user_id"}
_SHARE_WITHIN = {"category": ("level",), "context": ("surface",)}

_COUNTED_IDS = {"user": "user_id", "item": "item_id", "day": "ds"}
_SQL_TYPES = {
    "int": "INTEGER",
    "long": "BIGINT",
    "double": "DOUBLE",
    "list<string>": "VARCHAR[]",
    "list<int>": "INTEGER[]",
}
_WHOLES = {
    **dict.fromkeys(_USER_SHARE_WITHIN, "the user's"),
    **dict.fromkeys(("user", "item", "brand"), "all"),
    "category": "its level's",
    "context": "its surface's",
}
_UNITS = {
    "value": "cents",
    "price": "cents",
    "discount": "cents",
    "quantity": "units",
    "rating": "rating",
    "price_quantile": "0 the cheapest of the item's category, 1 the dearest",
}


@dataclass(frozen=True)
class DeclaredColumn:
    """A column of a feature table; `window` is its days as text, or `all`.

    `share_within`, of what has no user: the column is a count at first, and becomes a share of the rows that
    are equal in these columns once all rows of the day are there (jobs/features/shares.py).
    """

    feature: DeclaredFeature
    column: Column
    sql: str
    window: str
    share_within: tuple[str, ...] | None = None


def declared_columns(config: FeaturesConfig, entity: Entity) -> list[DeclaredColumn]:
    """The columns of an entity, in the order of their declaration.

    Raises:
        ValueError: if two features have one name.
    """
    found = [
        column for feature in config.declared if feature.entity == entity for column in _columns_of(feature)
    ]
    names = [column.column.name for column in found]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"features.declared makes columns twice: {repeated}")
    return found


def horizon_days(config: FeaturesConfig) -> int | None:
    """How many days back declared features look; None: to the beginning of the log."""
    windows = [feature.windows_days for feature in config.declared]
    return max(map(max, windows)) if windows and all(windows) else None


def _columns_of(feature: DeclaredFeature) -> Iterator[DeclaredColumn]:
    if feature.measure == "trend":
        yield _column(feature, feature.windows_days)
        return
    for window in feature.windows_days or (None,):
        yield _column(feature, (window,) if window else ())


def _column(feature: DeclaredFeature, windows: Sequence[int]) -> DeclaredColumn:
    parts = [feature.entity, "_or_".join(feature.events)]
    if feature.per:
        parts += ["per", "_or_".join(feature.per)]
    if feature.since:
        parts += ["since", "_or_".join(feature.since)]
    if feature.of:
        parts.append(f"distinct_{feature.of}" if feature.measure == "distinct_count" else feature.of)
    parts.append(
        {"distinct_count": "count", "top_k": "top", "last_n": "last"}.get(feature.measure, feature.measure)
    )
    parts += ["in", feature.within] if feature.within else []
    parts += [str(feature.length)] if feature.length else []
    parts += [f"{window}d" for window in windows]
    days = " against ".join(map(str, windows))
    when = f"in the {days} days before" if windows else "in all days before"
    column = Column("_".join(parts), _type(feature), f"{_meaning(feature)} {when}")
    return DeclaredColumn(feature, column, _sql(feature, windows), days or "all", _parent(feature))


def _parent(feature: DeclaredFeature) -> tuple[str, ...] | None:
    if feature.measure != "share" or feature.entity in _USER_SHARE_WITHIN:
        return None
    if feature.within:
        return ("brand" if feature.within == "brand" else f"{feature.within}_id",)
    return _SHARE_WITHIN.get(feature.entity, ())


def _type(feature: DeclaredFeature) -> str:
    if feature.measure in LISTS:
        return list_type(feature)
    is_whole = feature.measure in {"count", "distinct_count", "time_since", "age"}
    is_whole |= feature.measure in {"sum", "min", "max", "last"} and feature.of != "rating"
    return "long" if is_whole else "double"


def _meaning(feature: DeclaredFeature) -> str:
    events = " or ".join(feature.events)
    of = f"{feature.of} ({_UNITS[feature.of]})" if feature.of in _UNITS else feature.of
    meanings = {
        "count": f"events {events}",
        "distinct_count": f"distinct {of}s with {events}",
        "time_since": f"days since the last {events}, 1 is the day before,",
        "age": f"days since the first {events}, 1 is the day before,",
        "due": f"days since the last {events} / mean days between days with one, null before the second,",
        "interval": f"mean days between days with {events}, null before the second,",
        "rate": f"events {events} per {' or '.join(feature.per or ())}",
        "trend": f"events {events} a day",
        "share": f"share of {_WHOLES[feature.entity]} events {events}",
    }
    if feature.since:
        meanings["count"] += f" on days after that of the last {' or '.join(feature.since)}"
    if feature.within:
        meanings["share"] = f"share of its {feature.within}'s events {events}"
    if feature.measure in LISTS:
        meanings |= {
            name: MEANINGS[name].format(of=of, length=feature.length, events=events) for name in LISTS
        }
    meaning = meanings.get(feature.measure, f"{feature.measure} of {of} over events {events}")
    if feature.prior:
        meaning += f", smoothed towards {feature.prior.rate} by {feature.prior.weight},"
    return meaning


def _sql(feature: DeclaredFeature, windows: Sequence[int]) -> str:
    wanted = _condition(feature.events, windows[0] if windows else None)
    count = f"coalesce(sum(event_count) FILTER (WHERE {wanted}), 0)"
    if feature.measure in ALL_DAYS:
        sql = _rhythm_sql(feature.measure, wanted)
    elif feature.measure in LISTS:
        sql = list_sql(feature, wanted)
    elif feature.since:
        sql = _count_since(wanted, _condition(feature.since, None))
    else:
        sql = _ratio_sql(feature, count, windows) or aggregate_sql(feature.measure, feature.of, wanted)
    return f"({sql})::{_SQL_TYPES[_type(feature)]}"


def _rhythm_sql(measure: str, wanted: str) -> str:
    """When it happened: the days since the last and the first time, and between two times."""
    last, first = (f"{end}(ds) FILTER (WHERE {wanted})" for end in ("max", "min"))
    days = f"count(DISTINCT ds) FILTER (WHERE {wanted})"
    return {
        "time_since": f"$day - {last}",
        "age": f"$day - {first}",
        "interval": f"({last} - {first}) / nullif({days} - 1, 0)",
        "due": f"($day - {last}) * ({days} - 1) / nullif({last} - {first}, 0)",
    }[measure]


def _ratio_sql(feature: DeclaredFeature, count: str, windows: Sequence[int]) -> str | None:
    """A rate, trend or share of the events that `count` counts; None for other measures."""
    if feature.measure == "rate":
        return _rate(feature, count, windows)
    if feature.measure == "trend":
        recent, longer = (_condition(feature.events, window) for window in windows)
        among = count.replace(recent, longer)
        return f"({count} * {windows[1]})::DOUBLE / nullif({among} * {windows[0]}, 0)"
    if feature.measure == "share":
        within = _USER_SHARE_WITHIN.get(feature.entity)
        return f"{count}::DOUBLE / nullif(sum({count}) OVER (PARTITION BY {within}), 0)" if within else count
    return None


def _count_since(wanted: str, since: str) -> str:
    """Events of the days after the last day with one of `since`; all of them where there is none."""
    days = f"list({{'ds': ds, 'events': event_count}}) FILTER (WHERE {wanted})"
    last = f"coalesce(max(ds) FILTER (WHERE {since}), '-infinity'::DATE)"
    later = f"list_filter({days}, lambda day: day.ds > {last})"
    return f"coalesce(list_sum(list_transform({later}, lambda day: day.events)), 0)"


def aggregate_sql(measure: str, of: str | None, wanted: str) -> str:
    """A count (of distinct ids, too), or sum, mean, min, max or last of a column, over the rows `wanted`."""
    if measure == "distinct_count":
        return f"count(DISTINCT {_COUNTED_IDS[str(of)]}) FILTER (WHERE {wanted})"
    where = f"FILTER (WHERE {wanted})"
    unit = f" / {RATING_UNITS}" if of == "rating" else ""
    if of == "price_quantile":
        known = f"FILTER (WHERE {wanted} AND price_quantile IS NOT NULL)"
        total = f"sum(price_quantile * event_count) {known}"
        return f"{total} / nullif(sum(event_count) {known} * {QUANTILE_UNITS}, 0)"
    if measure == "count":
        return f"coalesce(sum(event_count) {where}, 0)"
    if measure == "sum":
        return (
            f"coalesce(sum({of}_sum) {where}, 0)::DOUBLE{unit}"
            if unit
            else f"coalesce(sum({of}_sum) {where}, 0)"
        )
    if measure == "mean":
        return f"sum({of}_sum) {where} / nullif(sum({of}_count) {where} * {unit[3:] or 1}, 0)"
    if measure == "last":
        newest = f"max({{'at': {of}_last_at, 'value': {of}_last}})"
        return f"({newest} FILTER (WHERE {wanted} AND {of}_count > 0)).value{unit}"
    return f"{measure}({of}_{measure}) {where}{unit}"


def label_sql(label: DeclaredLabel) -> str:
    """What the tile rows of a user and an item within the label window say."""
    wanted = _condition(label.events, None)
    if label.measure == "any":
        sql = f"count_if({wanted}) > 0"
    else:
        sql = aggregate_sql(label.measure, label.of, wanted)
    if label.at_least is not None:
        sql = f"{sql} >= {label.at_least!r}"
    if label.given:
        sql = f"CASE WHEN count_if({_condition(label.given, None)}) > 0 THEN {sql} END"
    return f"({sql})::{_SQL_TYPES[label_type(label)]}"


def label_type(label: DeclaredLabel) -> str:
    if label.measure in {"any", "count"} or label.at_least is not None:
        return "int"
    return "double" if label.measure == "mean" or label.of == "rating" else "long"


def _rate(feature: DeclaredFeature, count: str, windows: Sequence[int]) -> str:
    base = _condition(feature.per or (), windows[0] if windows else None)
    among = f"coalesce(sum(event_count) FILTER (WHERE {base}), 0)"
    if feature.prior is None:
        return f"{count}::DOUBLE / nullif({among}, 0)"
    rate, weight = feature.prior.rate, feature.prior.weight
    return f"({count}::DOUBLE + {rate * weight!r}::DOUBLE) / ({among}::DOUBLE + {weight!r}::DOUBLE)"


def _condition(events: Sequence[str], window: int | None) -> str:
    of_type = f"event_type IN ({', '.join(repr(name) for name in events)})"
    return f"{of_type} AND ds >= $day - {window}" if window else of_type
