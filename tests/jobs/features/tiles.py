"""Tiles of a frame of events, without a lake."""

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import ScenarioConfig
from jobs.features.config import Entity
from jobs.features.event_tiles import context_days, event_days, group_tiles, make_context_days, select_tiled
from jobs.lake.files import BUCKET, Batches


def make_event_days(events: DataFrame, config: ScenarioConfig) -> DataFrame:
    """One row per (day, user, item, event type) of the declared types."""
    placed = select_tiled(events, config).withColumn(BUCKET, F.lit(0)).repartition("user_id")
    combine, table = group_tiles(config), event_days(config)
    schema = table.arrow_schema()

    def group(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in combine(batches):
            yield from pa.Table.from_batches([batch]).select(schema.names).cast(schema).to_batches()

    return placed.sortWithinPartitions("ds", "user_id").mapInArrow(group, table.spark_schema())


def make_tiles_of(entity: Entity, events: DataFrame, config: ScenarioConfig) -> DataFrame:
    """The tiles that the declared features of an entity are made from."""
    if entity == "context":
        return make_context_days(events, config).select(context_days(config).column_names)
    return make_event_days(events, config)
