"""events -> event_days and context_days: the tiles from which declared features are made.

A tile of event_days is of a user, item and event type, one of context_days of a place and event type. They
hold only the event types and columns that the scenario declares, in integers: ratings in fixed point. Spark
brings the events of a user and day together, DuckDB groups those of many users at a time.
"""

import re
from collections.abc import Sequence
from math import lcm

import duckdb
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import ScenarioConfig
from jobs.features.config import OF_VALUES, VALUE_COLUMNS, Entity
from jobs.features.declared import RATING_UNITS
from jobs.features.tables import TILE_TABLES
from jobs.features.user_windows import BATCH_ROWS, whole_users
from jobs.lake.columns import Column, Table
from jobs.lake.files import BUCKET, Batches, Combine

_VALUE = re.compile(rf"\b({'|'.join(VALUE_COLUMNS)})_(count|sum|min|max|last|last_at)\b")


def event_days(config: ScenarioConfig) -> Table:
    columns = [
        Column("user_id", "string", "the user"),
        Column("item_id", "string", "the item; null for events without one"),
        Column("event_type", "string", "the type of the events"),
        Column("event_count", "long", "events; purchases of quantity 0 are none"),
    ]
    for name in value_columns(config):
        columns += [
            *_sum_columns(name),
            Column(
                f"{name}_last", "long", f"{name} of the last event{_unit(name)}, the largest of one instant"
            ),
            Column(f"{name}_last_at", "timestamp", f"when the last event with a {name} happened"),
        ]
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
            *[column for name in value_columns(config) for column in _sum_columns(name)],
        ),
    )


def _sum_columns(name: str) -> list[Column]:
    return [
        Column(f"{name}_count", "long", f"events with a {name}"),
        Column(f"{name}_sum", "long", f"sum of {name}{_unit(name)}"),
        Column(f"{name}_min", "long", f"smallest {name}{_unit(name)}"),
        Column(f"{name}_max", "long", f"largest {name}{_unit(name)}"),
    ]


def _unit(name: str) -> str:
    return " in millionths" if name == "rating" else ""


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


def value_columns(config: ScenarioConfig) -> list[str]:
    """The columns of events that features and labels are declared of."""
    used = {one.of for one in config.features.declared if one.measure in OF_VALUES}
    used |= {one.of for one in config.examples.labels}
    used |= {config.examples.interest.of} if config.examples.interest else set()
    return [name for name in VALUE_COLUMNS if name in used]


def sequence_length(config: ScenarioConfig) -> int:
    """How many events the longest declared sequence holds; 0: there is none."""
    lengths = [one.length for one in config.features.declared if one.measure == "last_n" and one.length]
    return max(lengths, default=0)


def sequence_types(config: ScenarioConfig) -> list[str]:
    """The event types that declared sequences hold."""
    return sorted(
        {name for one in config.features.declared if one.measure == "last_n" for name in one.events}
    )


def tiles_digest(config: ScenarioConfig) -> str:
    """Tiles depend on the log, and on what is declared of it."""
    declared = f"{declared_types(config)}-{value_columns(config)}"
    sequences = f"{sequence_types(config)}-{sequence_length(config)}"
    return f"{config.digest('logs')}-{declared}-{sequences}"


def select_tiled(
    events: DataFrame, config: ScenarioConfig, keys: Sequence[str] = ("user_id", "item_id", "event_time")
) -> DataFrame:
    """The events that tiles are made of, with what these need of them."""
    is_none = (F.col("event_type") == "purchase") & (F.col("quantity") == 0)
    wanted = F.col("event_type").isin(declared_types(config)) & ~F.coalesce(is_none, F.lit(False))
    values = (f"{_fixed_point(name)} AS {name}" for name in value_columns(config))
    return events.where(wanted).selectExpr("ds", *keys, "event_type", *values)


def make_context_days(events: DataFrame, config: ScenarioConfig) -> DataFrame:
    """One row per (day, surface, position, event type) of the declared types."""
    shown = events.where(F.col("surface").isNotNull())
    rows = select_tiled(shown, config, ("surface", "coalesce(position, -1) AS position"))
    sums = [
        one.alias(f"{name}_{of}")
        for name in value_columns(config)
        for of, one in {
            "count": F.count(name),
            "sum": F.coalesce(F.sum(name), F.lit(0)),
            "min": F.min(name),
            "max": F.max(name),
        }.items()
    ]
    keys = ("ds", *context_days(config).key)
    return rows.groupBy(*keys).agg(F.count(F.lit(1)).alias("event_count"), *sums)


def group_tiles(config: ScenarioConfig) -> Combine:
    """Makes tiles of the rows of `select_tiled`, those of a user and day together."""
    keys = f"ds, {BUCKET}, user_id, item_id, event_type"
    sums = [sum_sql for name in value_columns(config) for sum_sql in _sums(name)]
    if length := sequence_length(config):
        sums.append(_newest_times(sequence_types(config), length))
    query = f"SELECT {', '.join([keys, 'count(*) AS event_count', *sums])} FROM row GROUP BY {keys}"
    query += f" ORDER BY {keys.replace('item_id', 'item_id NULLS FIRST')}"

    def combine(batches: Batches) -> Batches:
        for rows in whole_users(batches, BATCH_ROWS):
            with duckdb.connect(config={"threads": 1}) as database:
                database.register("row", rows)
                yield from database.sql(query).to_arrow_table().to_batches()

    return combine


def _fixed_point(name: str) -> str:
    return f"CAST(round(rating * {RATING_UNITS}) AS LONG)" if name == "rating" else name


def _newest_times(types: Sequence[str], length: int) -> str:
    of_type = ", ".join(map(repr, types))
    times = f"list(epoch_us(event_time) ORDER BY event_time DESC) FILTER (WHERE event_type IN ({of_type}))"
    return f"coalesce(list_reverse(({times})[:{length}]), []) AS event_times"


def _sums(name: str) -> list[str]:
    newest = f"max({{'at': event_time, 'value': {name}}}) FILTER (WHERE {name} IS NOT NULL)"
    return [
        f"count({name}) AS {name}_count",
        f"coalesce(sum({name}), 0)::BIGINT AS {name}_sum",
        f"min({name}) AS {name}_min",
        f"max({name}) AS {name}_max",
        f"({newest}).value AS {name}_last",
        f"({newest}).at AS {name}_last_at",
    ]


def merge_tiles(tiles: DataFrame, keys: list[str], columns: list[str]) -> DataFrame:
    """Tiles of a finer key -> tiles of `keys`; `columns` are those of event_days."""
    names = [name for name in VALUE_COLUMNS if f"{name}_sum" in columns]
    merged = [merge for name in names for merge in _merges(name)]
    return tiles.groupBy(*keys).agg(F.sum("event_count").alias("event_count"), *merged)


def _merges(name: str) -> list[SparkColumn]:
    newest = F.max(F.struct(F.col(f"{name}_last_at").alias("at"), F.col(f"{name}_last").alias("value")))
    return [
        *[F.sum(f"{name}_{of}").alias(f"{name}_{of}") for of in ("count", "sum")],
        F.min(f"{name}_min").alias(f"{name}_min"),
        F.max(f"{name}_max").alias(f"{name}_max"),
        newest["value"].alias(f"{name}_last"),
        newest["at"].alias(f"{name}_last_at"),
    ]


def merge_query(rows: str, keys: str, made: str) -> str:
    """SQL: tiles of a finer key -> one of each of `keys`, day and event type, with the columns in `made`.

    What is made of tiles are many aggregates, each over some types and days: they look at fewer rows then.
    """
    merged = {f"{name}_{part}": _merge_sql(name, part) for name, part in _VALUE.findall(made)}
    columns = ", ".join(
        ["sum(event_count)::BIGINT AS event_count", *[f"{sql} AS {of}" for of, sql in merged.items()]]
    )
    kept = f"{keys}, ds, event_type" + (", price_quantile" if "price_quantile" in made else "")
    return f"SELECT {kept}, {columns} FROM ({rows}) GROUP BY {kept}"


def _merge_sql(name: str, part: str) -> str:
    if part in {"last", "last_at"}:
        newest = f"max({{'at': {name}_last_at, 'value': {name}_last}}) FILTER (WHERE {name}_count > 0)"
        return f"({newest}).{'at' if part == 'last_at' else 'value'}"
    return f"{part}({name}_{part})" if part in {"min", "max"} else f"sum({name}_{part})::BIGINT"
