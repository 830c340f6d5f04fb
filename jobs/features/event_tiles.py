"""events -> event_days: one tile for each user, item and event type, from which declared features are made.

Holds only the event types and columns that the scenario declares, in integers: ratings in fixed point.
"""

from collections.abc import Sequence
from math import lcm

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import ScenarioConfig
from jobs.features.config import OF_VALUES, VALUE_COLUMNS
from jobs.features.declared import RATING_UNITS
from jobs.features.tables import TILE_TABLES
from jobs.lake.columns import Column, Table


def event_days(config: ScenarioConfig) -> Table:
    columns = [
        Column("user_id", "string", "the user"),
        Column("item_id", "string", "the item; null for events without one"),
        Column("event_type", "string", "the type of the events"),
        Column("event_count", "long", "events; purchases of quantity 0 are none"),
    ]
    for name in value_columns(config):
        unit = " in millionths" if name == "rating" else ""
        columns += [
            Column(f"{name}_count", "long", f"events with a {name}"),
            Column(f"{name}_sum", "long", f"sum of {name}{unit}"),
            Column(f"{name}_min", "long", f"smallest {name}{unit}"),
            Column(f"{name}_max", "long", f"largest {name}{unit}"),
            Column(f"{name}_last", "long", f"{name} of the last event{unit}, the largest of one instant"),
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


def tile_tables(config: ScenarioConfig) -> tuple[Table, ...]:
    return (*TILE_TABLES, event_days(config)) if declared_types(config) else TILE_TABLES


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


def make_event_days(events: DataFrame, config: ScenarioConfig) -> DataFrame:
    """One row per (day, user, item, event type) of the declared types."""
    is_none = (F.col("event_type") == "purchase") & (F.col("quantity") == 0)
    wanted = events.where(
        F.col("event_type").isin(declared_types(config)) & ~F.coalesce(is_none, F.lit(False))
    )
    sums = [sum_column for name in value_columns(config) for sum_column in _sums(name)]
    if length := sequence_length(config):
        sums.append(_newest_times(sequence_types(config), length))
    return wanted.groupBy("ds", "user_id", "item_id", "event_type").agg(
        F.count(F.lit(1)).alias("event_count"), *sums
    )


def _newest_times(types: Sequence[str], length: int) -> SparkColumn:
    at = F.when(F.col("event_type").isin(types), F.unix_micros("event_time"))
    newest = F.slice(F.sort_array(F.collect_list(at), asc=False), 1, length)
    return F.sort_array(newest).alias("event_times")


def _sums(name: str) -> list[SparkColumn]:
    value = F.round(F.col(name) * RATING_UNITS) if name == "rating" else F.col(name)
    value = value.cast("long")
    at = F.when(value.isNotNull(), F.col("event_time"))
    newest = F.max(F.struct(at.alias("at"), value.alias("value")))
    return [
        F.count(value).alias(f"{name}_count"),
        F.coalesce(F.sum(value), F.lit(0)).alias(f"{name}_sum"),
        F.min(value).alias(f"{name}_min"),
        F.max(value).alias(f"{name}_max"),
        newest["value"].alias(f"{name}_last"),
        newest["at"].alias(f"{name}_last_at"),
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
