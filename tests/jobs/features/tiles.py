"""Tiles of a frame of events, without a lake."""

from collections.abc import Iterator

import duckdb
import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.config import ScenarioConfig
from jobs.features.config import Entity
from jobs.features.event_tiles import context_days, event_days, make_context_days, tile_query
from jobs.lake.files import Batches


def make_event_days(events: DataFrame, config: ScenarioConfig) -> DataFrame:
    """One row per (day, user, item, event type) of the declared types."""
    query, table = tile_query(config), event_days(config)
    schema = table.arrow_schema()

    def group(batches: Batches) -> Iterator[pa.RecordBatch]:
        if rows := list(batches):
            with duckdb.connect(config={"threads": 1}) as database:
                database.register("event", pa.Table.from_batches(rows))
                made = database.sql(query).to_arrow_table()
            yield from made.select(schema.names).cast(schema).to_batches()

    return events.repartition("user_id").mapInArrow(group, table.spark_schema())


def make_tiles_of(entity: Entity, events: DataFrame, config: ScenarioConfig) -> DataFrame:
    """The tiles that the declared features of an entity are made from."""
    if entity == "context":
        return make_context_days(events, config).select(context_days(config).column_names)
    return make_event_days(events, config)
