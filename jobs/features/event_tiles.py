"""events -> event_days and context_days: the tiles from which declared features are made.

A tile of event_days is of a user, item and event type, one of context_days of a place and event type. They
hold only the event types and columns that the scenario declares, in integers: ratings in fixed point.
"""

import re
from collections.abc import Sequence
from math import lcm
from typing import NamedTuple, get_args

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import ScenarioConfig
from jobs.features.config import VALUE_COLUMNS, Entity
from jobs.features.declared import RATING_UNITS, declared_columns, label_sql
from jobs.features.tables import TILE_TABLES
from jobs.lake.columns import Column, Table

_PARTS = {
    "count": "events with a {of}",
    "sum": "sum of {of}{unit}",
    "min": "smallest {of}{unit}",
    "max": "largest {of}{unit}",
    "last": "{of} of the last event{unit}, the largest of one instant",
    "last_at": "when the last event with a {of} happened",
}
_VALUE = re.compile(rf"\b({'|'.join(VALUE_COLUMNS)})_({'|'.join(_PARTS)})\b")


class TileColumn(NamedTuple):
    """What tiles say of a column of events: `part` is one of _PARTS."""

    of: str
    part: str

    @property
    def name(self) -> str:
        return f"{self.of}_{self.part}"

    @property
    def field(self) -> str:
        """Of the newest event's instant and value."""
        return "at" if self.part == "last_at" else "value"

    @property
    def is_newest(self) -> bool:
        return self.part.startswith("last")

    @property
    def described(self) -> Column:
        meaning = _PARTS[self.part].format(of=self.of, unit=" in millionths" if self.of == "rating" else "")
        return Column(self.name, "timestamp" if self.part == "last_at" else "long", meaning)

    @property
    def sql(self) -> str:
        """DuckDB's SQL, of events; any dialect where nothing is of the newest one."""
        if self.is_newest:
            return self._newest("event_time", self.of, self.of)
        if self.part == "sum":
            return f"CAST(coalesce(sum({self.of}), 0) AS BIGINT)"
        return f"{self.part}({self.of})"

    @property
    def merged(self) -> str:
        """DuckDB's SQL, of tiles; any dialect where nothing is of the newest event."""
        if self.is_newest:
            return self._newest(f"{self.of}_last_at", f"{self.of}_last", f"{self.of}_last_at")
        if self.part in {"min", "max"}:
            return f"{self.part}({self.name})"
        return f"CAST(sum({self.name}) AS BIGINT)"

    def _newest(self, at: str, value: str, known: str) -> str:
        newest = f"max({{'at': {at}, 'value': {value}}}) FILTER (WHERE {known} IS NOT NULL)"
        return f"({newest}).{self.field}"


def event_days(config: ScenarioConfig) -> Table:
    columns = [
        Column("user_id", "string", "the user"),
        Column("item_id", "string", "the item; null for events without one"),
        Column("event_type", "string", "the type of the events"),
        Column("event_count", "long", "events; purchases of quantity 0 are none"),
    ]
    columns += [column.described for column in value_columns(config)]
    if length := sequence_length(config):
        meaning = f"when the newest {length} of a type in a sequence happened, microseconds since 1970"
        columns.append(Column("event_times", "list<long>", meaning))
    return Table(
        name="event_days",
        meaning="Tile: what a user did with an item on a day, by type of event.",
        ds_is="event day",
        key=("user_id", "item_id", "event_type"),
        columns=tuple(columns),
        # A file is of one anchor slot and one file of features: the work of one task (build_declared.py).
        files_per_day=lcm(config.examples.anchor_every_days, config.features.user_files_per_day),
    )


def context_days(config: ScenarioConfig) -> Table:
    return Table(
        name="context_days",
        meaning="Tile: what was done at a place of a surface on a day, by type of event.",
        ds_is="event day",
        key=("surface", "position", "event_type"),
        columns=(
            Column("surface", "string", "where it was shown; events without a surface are in no row"),
            Column("position", "int", "the slot it was shown in, from 0; -1 for events without one"),
            Column("event_type", "string", "the type of the events"),
            Column("event_count", "long", "events; purchases of quantity 0 are none"),
            *[column.described for column in value_columns(config) if not column.is_newest],
        ),
    )


def tile_tables(config: ScenarioConfig) -> tuple[Table, ...]:
    of_events = (event_days(config),) if declared_types(config) else ()
    of_contexts = (context_days(config),) if has_contexts(config) else ()
    return (*TILE_TABLES, *of_events, *of_contexts)


def tiles_of(config: ScenarioConfig, entity: Entity) -> Table:
    """The tiles that declared features of an entity are made from."""
    return context_days(config) if entity == "context" else event_days(config)


def has_contexts(config: ScenarioConfig) -> bool:
    return any(feature.entity == "context" for feature in config.features.declared)


def declared_types(config: ScenarioConfig) -> list[str]:
    """The event types that features and labels are declared over."""
    found: set[str] = {*config.examples.label_events}
    found |= {
        name
        for feature in config.features.declared
        for name in (*feature.events, *(feature.per or ()), *(feature.since or ()))
    }
    if config.features.co_purchases:
        found |= set(config.features.co_purchases.events)
    return sorted(found)


def value_columns(config: ScenarioConfig) -> list[TileColumn]:
    """What the SQL of declared features and labels asks of the columns of events."""
    declared = [
        column.sql for entity in get_args(Entity) for column in declared_columns(config.features, entity)
    ]
    used = set(_VALUE.findall(" ".join([*declared, *map(label_sql, config.examples.labels)])))
    if config.examples.interest and config.examples.interest.of:
        used.add((config.examples.interest.of, "max"))
    return [TileColumn(of, part) for of in VALUE_COLUMNS for part in _PARTS if (of, part) in used]


def sequence_length(config: ScenarioConfig) -> int:
    """How many events the longest declared sequence holds; 0: there is none."""
    lengths = [one.length for one in config.features.declared if one.measure == "last_n" and one.length]
    return max(lengths, default=0)


def sequence_types(config: ScenarioConfig) -> list[str]:
    """The event types that declared sequences hold."""
    return sorted(
        {name for one in config.features.declared if one.measure == "last_n" for name in one.events}
    )


def _tiled(config: ScenarioConfig) -> str:
    """SQL, of any dialect: whether tiles are made of an event."""
    types = ", ".join(map(repr, declared_types(config)))
    return f"event_type IN ({types}) AND NOT coalesce(event_type = 'purchase' AND quantity = 0, false)"


def _values(config: ScenarioConfig) -> list[str]:
    """SQL, of any dialect: what tiles need of the columns of events."""
    names = dict.fromkeys(column.of for column in value_columns(config))
    return [f"{_fixed_point(name)} AS {name}" for name in names]


def make_context_days(events: DataFrame, config: ScenarioConfig) -> DataFrame:
    """One row per (day, surface, position, event type) of the declared types."""
    shown = events.where(F.col("surface").isNotNull()).where(_tiled(config))
    position = "coalesce(position, -1) AS position"
    rows = shown.selectExpr("ds", "surface", position, "event_type", *_values(config))
    sums = [F.expr(column.sql).alias(column.name) for column in value_columns(config) if not column.is_newest]
    keys = ("ds", *context_days(config).key)
    return rows.groupBy(*keys).agg(F.count(F.lit(1)).alias("event_count"), *sums)


def tile_query(config: ScenarioConfig) -> str:
    """DuckDB's SQL for the tiles, in the order of their key, of the view `event` of some users' events."""
    keys = "ds, user_id, item_id, event_type"
    sums = [f"{column.sql} AS {column.name}" for column in value_columns(config)]
    if length := sequence_length(config):
        sums.append(_newest_times(sequence_types(config), length))
    rows = f"SELECT {', '.join([keys, 'event_time', *_values(config)])} FROM event WHERE {_tiled(config)}"
    query = f"SELECT {', '.join([keys, 'count(*) AS event_count', *sums])} FROM ({rows}) GROUP BY {keys}"
    return f"{query} ORDER BY {keys.replace('item_id', 'item_id NULLS FIRST')}"


def _fixed_point(name: str) -> str:
    return f"CAST(round(rating * {RATING_UNITS}) AS LONG)" if name == "rating" else name


def _newest_times(types: Sequence[str], length: int) -> str:
    of_type = ", ".join(map(repr, types))
    times = f"list(epoch_us(event_time) ORDER BY event_time DESC) FILTER (WHERE event_type IN ({of_type}))"
    return f"coalesce(list_reverse(({times})[:{length}]), []) AS event_times"


def merge_tiles(tiles: DataFrame, keys: list[str], columns: list[str]) -> DataFrame:
    """Tiles of a finer key -> tiles of `keys`; `columns` are those of event_days."""
    possible = (TileColumn(of, part) for of in VALUE_COLUMNS for part in _PARTS)
    merged = [_merge(column) for column in possible if column.name in columns]
    return tiles.groupBy(*keys).agg(F.sum("event_count").alias("event_count"), *merged)


def _merge(column: TileColumn) -> SparkColumn:
    if not column.is_newest:
        return F.expr(column.merged).alias(column.name)
    at, value = (F.col(f"{column.of}_{part}") for part in ("last_at", "last"))
    return F.max(F.struct(at.alias("at"), value.alias("value")))[column.field].alias(column.name)


def merge_query(rows: str, keys: str, made: str) -> str:
    """SQL: tiles of a finer key -> one of each of `keys`, day and event type, with the columns in `made`.

    What is made of tiles are many aggregates, each over some types and days: they look at fewer rows then.
    """
    merged = [TileColumn(*found) for found in dict.fromkeys(_VALUE.findall(made))]
    columns = ", ".join(
        ["sum(event_count)::BIGINT AS event_count", *[f"{one.merged} AS {one.name}" for one in merged]]
    )
    kept = f"{keys}, ds, event_type" + (", price_quantile" if "price_quantile" in made else "")
    return f"SELECT {kept}, {columns} FROM ({rows}) GROUP BY {kept}"
