"""Sequences of users at the instant of an anchor event: what the day's own events add to those as of the day.

The lists of user_event_features end with the day before. Here they go on with the events of the day that
came before the anchor, strictly: what happened at its own instant may have followed from it.
"""

from jobs.config import FeaturesConfig, ScenarioConfig
from jobs.features.config import DeclaredFeature
from jobs.features.declared import declared_columns
from jobs.features.declared_lists import TODAY_VALUES
from jobs.lake.day_tasks import DayDatabase

# For each instant at which a user did something, the newest events of the day up to it, itself included.
_TODAY = """
CREATE OR REPLACE TEMP TABLE {table} AS
SELECT user_id, event_time, list({value}) OVER (in_order ROWS {preceding} PRECEDING) AS newest
FROM day_event LEFT JOIN item_level USING (item_id)
WHERE event_type IN ({types}) AND NOT coalesce(event_type = 'purchase' AND quantity = 0, false)
WINDOW in_order AS (PARTITION BY user_id ORDER BY event_time, item_id, event_type)
QUALIFY lead(event_time) OVER in_order IS DISTINCT FROM event_time
"""


def day_sequences(config: ScenarioConfig) -> dict[str, DeclaredFeature]:
    """The sequences of users that the model reads, where events are the anchors: column -> declaration."""
    if not config.examples.has_anchor_events:
        return {}
    sequences = user_sequences(config.features)
    return {name: sequences[name] for name in config.model.columns if name in sequences}


def user_sequences(config: FeaturesConfig) -> dict[str, DeclaredFeature]:
    columns = declared_columns(config, "user")
    return {one.column.name: one.feature for one in columns if one.feature.measure == "last_n"}


def add_today(database: DayDatabase, sequences: dict[str, DeclaredFeature]) -> None:
    """Adds a table for each sequence, from day_event (the events of the day) and item_level."""
    for name, feature in sequences.items():
        query = _TODAY.format(
            table=_today(name),
            value=TODAY_VALUES[str(feature.of)],
            preceding=(feature.length or 1) - 1,
            types=", ".join(map(repr, feature.events)),
        )
        database.execute(query)


def with_today(query: str, sequences: dict[str, DeclaredFeature]) -> str:
    """SQL for the rows of `query` (user_id, event_time, ...), their sequences going on to their instants."""
    joins = [
        f"ASOF LEFT JOIN {_today(name)} "
        f"ON r.user_id = {_today(name)}.user_id AND r.event_time > {_today(name)}.event_time"
        for name in sequences
    ]
    lists = [
        f"nullif(list_concat(r.{name}, {_today(name)}.newest)[-{feature.length}:], []) AS {name}"
        for name, feature in sequences.items()
    ]
    replaced = f"REPLACE ({', '.join(lists)})" if lists else ""
    return f"SELECT r.* {replaced} FROM ({query}) AS r {' '.join(joins)}"


def _today(name: str) -> str:
    return f"{name}_today"
