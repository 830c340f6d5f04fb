"""The SQL of declared lists: the strongest ids of an entity, and its last events in the order of time.

Both end with what matters most, for a model reads the last values of a list.
"""

from jobs.features.config import DeclaredFeature

_VALUES = {
    "item": "item_id",
    "department": "department_id",
    "type": "type_id",
    "brand": "brand",
    "event_type": "event_type",
    "days_ago": "($day - ds)::INTEGER",
}
TODAY_VALUES = {**_VALUES, "days_ago": "0"}  # of events of the day that features are as of
MEANINGS = {
    "top_k": "the {length} {of}s with most events {events}, the strongest last,",
    "last_n": "{of} of the last {length} events {events}, the newest last,",
}


def list_type(feature: DeclaredFeature) -> str:
    return "list<int>" if feature.of == "days_ago" else "list<string>"


def list_sql(feature: DeclaredFeature, wanted: str) -> str:
    """The list over the tile rows for which `wanted` holds; null where there are none."""
    value = _VALUES[str(feature.of)]
    return (
        _top(value, wanted, feature.length)
        if feature.measure == "top_k"
        else _last(value, wanted, feature.length)
    )


def _top(value: str, wanted: str, length: int | None) -> str:
    """Of equal counts the smaller id is the stronger; a histogram leaves nulls out."""
    events = f"flatten(list(repeat([{value}], event_count)) FILTER (WHERE {wanted}))"
    counts = f"map_entries(list_aggregate({events}, 'histogram'))"
    ranked = f"list_transform({counts}, lambda of: {{'rank': -of.value::BIGINT, 'id': of.key}})"
    return f"list_reverse(list_transform(list_sort({ranked})[:{length}], lambda of: of.id))"


def _last(value: str, wanted: str, length: int | None) -> str:
    """Events of one instant are in the order of their items and types: lists of equal events are aligned."""
    event = f"{{'at': instant, 'item_id': item_id, 'event_type': event_type, 'value': {value}}}"
    events = f"flatten(list(list_transform(event_times, lambda instant: {event})) FILTER (WHERE {wanted}))"
    return f"list_transform(list_sort({events})[-{length}:], lambda event: event.value)"
