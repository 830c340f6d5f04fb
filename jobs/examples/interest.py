"""The label of a user on a day: of which categories the items are that the user acted on in the window."""

from collections.abc import Iterable, Sequence

from jobs.examples.config import ExamplesConfig, InterestConfig, Level
from jobs.features.declared import RATING_UNITS
from jobs.lake.day_tasks import DayDatabase

# For each category of the catalogue, in their order, whether the user acted on an item of it.
_LABELLED_USER = """
CREATE OR REPLACE TEMP TABLE labelled_user AS
WITH item_category AS ({categories}),
category AS (SELECT DISTINCT name FROM item_category),
chosen AS (SELECT DISTINCT user_id, name FROM ({acted}) JOIN item_category USING (item_id))
SELECT anchor.user_id, true AS from_candidates, 1.0 AS sampling_rate,
       list((chosen.user_id IS NOT NULL)::INTEGER ORDER BY name) AS label_category_interest
FROM ({anchors}) AS anchor CROSS JOIN category
LEFT JOIN chosen USING (user_id, name)
GROUP BY anchor.user_id
"""
_DEPTHS = {"department": 1, "category": 2, "type": 3}


def label_users(database: DayDatabase, config: ExamplesConfig) -> None:
    """Adds the table labelled_user: the anchored users, or those with an anchor event on the day."""
    anchors, acted = "SELECT user_id FROM anchored", "SELECT user_id, item_id FROM purchase"
    if config.has_anchor_events:
        anchors = "SELECT DISTINCT user_id FROM attributed"
    if config.interest or config.has_anchor_events:
        wanted = _condition(config.interest or InterestConfig(), of_events=config.has_anchor_events)
        rows = "attributed" if config.has_anchor_events else "label_tile"
        acted = f"SELECT user_id, item_id FROM {rows} WHERE {wanted}"
    categories = category_query(config.interest_level)
    database.execute(_LABELLED_USER.format(categories=categories, acted=acted, anchors=anchors))


def category_query(level: Level) -> str:
    """SQL: (item_id, name), the categories of each item of the catalogue on the level."""
    if level == "every":
        return "SELECT item_id, unnest(category_path) AS name FROM catalogue"
    return f"SELECT item_id, {level}_id AS name FROM item_level WHERE {level}_id IS NOT NULL"


def category_names(paths: Iterable[Sequence[str] | None], level: Level) -> tuple[str, ...]:
    """The same categories of the paths of all items, in their order."""
    depth = _DEPTHS.get(level)
    if depth is None:
        return tuple(sorted({name for path in paths if path for name in path}))
    return tuple(sorted({" / ".join(path[:depth]) for path in paths if path and len(path) >= depth}))


def _condition(interest: InterestConfig, *, of_events: bool) -> str:
    """Which events, or tiles of them, tell of an interest."""
    types = ", ".join(repr(name) for name in interest.events)
    condition = f"event_type IN ({types})"
    if interest.of is None:
        return condition
    if of_events:
        return f"{condition} AND {interest.of} >= {interest.at_least!r}"
    unit = RATING_UNITS if interest.of == "rating" else 1
    return f"{condition} AND {interest.of}_max >= {interest.at_least!r} * {unit}"
