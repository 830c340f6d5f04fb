"""event_days and context_days -> the declared features, in SQL (docs/decisions/0010-declared-features.md).

Tiles travel once to Spark tasks that hold all rows of their users, items or categories, some at a time;
DuckDB groups these rows for each as-of day. Tables of users have rows for the users anchored on the day.
"""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import cast

import duckdb
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig
from jobs.features.categories import add_category_levels
from jobs.features.config import Entity
from jobs.features.declared import declared_columns, horizon_days
from jobs.features.event_tiles import merge_tiles
from jobs.features.plans import LEVELS, USER_LEVELS
from jobs.features.tables import declared_tables
from jobs.features.user_windows import BATCH_ROWS, whole_users
from jobs.lake.buckets import bucket_column
from jobs.lake.columns import Table
from jobs.lake.days import DayRange, days_between
from jobs.lake.files import Make

_LEVEL_IDS = tuple(f"{level}_id" for level in USER_LEVELS)
_EPOCH = date(1970, 1, 1)


def declared_query(config: FeaturesConfig, entity: Entity, table: Table, top: int | None = None) -> str:
    """SQL for the rows of `table` as of $day, from the view `tile`; `top` keeps a user's newest items."""
    horizon = horizon_days(config)
    before = "ds < $day" + (f" AND ds >= $day - {horizon}" if horizon else "")
    keys = ", ".join(table.key)
    columns = [f"{column.sql} AS {column.column.name}" for column in declared_columns(config, entity)]
    if entity == "user_item":
        newest_first = "max(ds) DESC, sum(event_count) DESC, item_id"
        rank = f"row_number() OVER (PARTITION BY user_id ORDER BY {newest_first})"
        columns.append(f"{rank} AS user_item_event_rank")
    kept = f"WHERE user_item_event_rank <= {top}" if top and entity == "user_item" else ""
    grouped = f"SELECT {keys}, {', '.join(columns)} FROM ({_rows_of(entity)}) WHERE {before} GROUP BY {keys}"
    return f"SELECT $day AS ds, * FROM ({grouped}) {kept} ORDER BY {keys}"


def _rows_of(entity: Entity) -> str:
    if entity == "user_item":
        return "FROM tile WHERE item_id IS NOT NULL"
    if entity == "user_brand":
        return "FROM tile WHERE brand IS NOT NULL"
    if entity == "user_category":
        return " UNION ALL ".join(
            f"SELECT *, '{level}' AS level, {level}_id AS category_id FROM tile WHERE {level}_id IS NOT NULL"
            for level in USER_LEVELS
        )
    return "FROM tile"


def place_events(event_days: DataFrame, levels: DataFrame, every_days: int, num_buckets: int) -> DataFrame:
    """The tiles with what is known of their items, each user in the partition of its slot and bucket."""
    slot = bucket_column("user_id", every_days)
    bucket = bucket_column("user_id", num_buckets)
    ids = F.broadcast(levels.select("item_id", "brand", "price_quantile", *_LEVEL_IDS))
    return (
        event_days.join(ids, "item_id", "left")
        .repartitionById(every_days * num_buckets, slot * num_buckets + bucket)
        .sortWithinPartitions("user_id")
    )


def declared_windows(
    config: FeaturesConfig, days: DayRange, every_days: int, num_buckets: int, top: int
) -> Make:
    """Makes the declared tables of users from the partitions of `place_events`; `top`: `declared_query`."""
    tables = declared_tables(config, of_users=True)
    queries = {table.name: declared_query(config, entity, table, top) for entity, table in tables.items()}

    def make(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, date, int, pa.Table]]:
        slot, bucket = divmod(cast(TaskContext, TaskContext.get()).partitionId(), num_buckets)
        anchored = [day for day in days_between(*days) if (day - _EPOCH).days % every_days == slot]
        for rows in whole_users(batches, BATCH_ROWS):
            for name, day, features in features_as_of(rows, queries, anchored):
                yield name, day, bucket, features

    return make


def declared_frame(
    tiles: DataFrame, levels: DataFrame, entity: Entity, config: FeaturesConfig, days: DayRange
) -> DataFrame:
    """Rows of the declared table of what has no user, for every as-of day of the range."""
    table = declared_tables(config, of_users=False)[entity]
    query = {table.name: declared_query(config, entity, table)}
    chunk = table.key[0]
    merged = tiles if entity == "context" else _merge_items(tiles, levels, entity, config, table)
    placed = merged.repartition(chunk).sortWithinPartitions(chunk)
    return placed.mapInArrow(_frame_task(query, chunk, days), table.spark_schema())


def _merge_items(
    event_days: DataFrame, levels: DataFrame, entity: Entity, config: FeaturesConfig, table: Table
) -> DataFrame:
    """The tiles of items, or of their categories or brands."""
    tiles = event_days.where(F.col("item_id").isNotNull())
    if entity == "category":
        tiles = add_category_levels(tiles, levels, LEVELS)
    if entity == "brand":
        brands = levels.where(F.col("brand").isNotNull()).select("item_id", "brand")
        tiles = tiles.join(F.broadcast(brands), "item_id")
    counted = {feature.of for feature in config.declared if feature.entity == entity}
    ids = [f"{name}_id" for name in ("user", "item") if name in counted]
    keys = list(dict.fromkeys([*table.key, *ids, "event_type", "ds"]))
    return merge_tiles(tiles, keys, event_days.columns)


def _frame_task(
    query: dict[str, str], chunk: str, days: DayRange
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in whole_users(batches, BATCH_ROWS, chunk):
            for _, _, features in features_as_of(rows, query, list(days_between(*days))):
                yield from features.to_batches()

    return run


def features_as_of(
    rows: pa.Table, queries: dict[str, str], days: list[date]
) -> Iterator[tuple[str, date, pa.Table]]:
    """(table, day, features) for each day, from the tiles of some whole users, items or categories."""
    with duckdb.connect(config={"threads": 1}) as database:  # Spark runs one task per core
        database.register("tile", rows)
        for day in days:
            for name, query in queries.items():
                yield name, day, database.sql(query, params={"day": day}).to_arrow_table()


def declared_history(config: FeaturesConfig, first_day: date, days: DayRange) -> DayRange:
    """The event days that declared features of a range of as-of days look at."""
    horizon = horizon_days(config)
    first = max(first_day, days[0] - timedelta(days=horizon)) if horizon else first_day
    return first, days[1] - timedelta(days=1)
