"""user_item_days -> user_item_features and user_category_features, in one pass over the tiles.

All users with the same anchor days go through one task, which therefore holds all rows of those days and
writes their files itself: the widest tables of the night never pass through a shuffle.
"""

from collections.abc import Iterator
from datetime import date
from typing import cast

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig
from jobs.features.plans import USER_CATEGORY, USER_ITEM, USER_LEVELS
from jobs.features.tables import user_category_features, user_item_features
from jobs.features.user_windows import BATCH_ROWS, UserEntities, whole_users
from jobs.lake.buckets import bucket_column
from jobs.lake.data_files import epoch_day
from jobs.lake.days import DayRange
from jobs.lake.files import MadeRows, Make

_LEVEL_IDS = tuple(f"{level}_id" for level in USER_LEVELS)
_EPOCH = date(1970, 1, 1)


def place_users(user_item_days: DataFrame, levels: DataFrame, every_days: int, num_buckets: int) -> DataFrame:
    """The tiles with their category ids, each user in the partition of its slot and bucket, sorted.

    A user of slot s is anchored on the days d with d mod `every_days` = s; buckets split a day's users.
    """
    slot = bucket_column("user_id", every_days)
    bucket = bucket_column("user_id", num_buckets)
    ids = F.broadcast(levels.select("item_id", *_LEVEL_IDS))
    return (
        user_item_days.join(ids, "item_id", "left")
        .select("user_id", "item_id", F.unix_date("ds").alias("day"), *USER_ITEM.measures, *_LEVEL_IDS)
        .repartitionById(every_days * num_buckets, slot * num_buckets + bucket)
        .sortWithinPartitions("user_id", "item_id", "day")
    )


def pair_windows(config: FeaturesConfig, days: DayRange, every_days: int, num_buckets: int, top: int) -> Make:
    """Makes both tables as of the days of the range from the partitions of `place_users`.

    `top` items of a user are kept, by rank.
    """
    wanted = np.arange((days[0] - _EPOCH).days, (days[1] - _EPOCH).days + 1)
    tables = user_item_features(config), user_category_features(config)
    schemas = [table.arrow_schema() for table in tables]

    def make(batches: Iterator[pa.RecordBatch]) -> Iterator[MadeRows]:
        partition = cast(TaskContext, TaskContext.get()).partitionId()
        slot, bucket = divmod(partition, num_buckets)
        for rows in whole_users(batches, BATCH_ROWS):
            pairs = UserEntities(rows, USER_ITEM, config, schemas[0], top)
            categories = UserEntities(category_tiles(rows), USER_CATEGORY, config, schemas[1])
            for day in wanted[wanted % every_days == slot]:
                for table, entities in zip(tables, (pairs, categories), strict=True):
                    as_of = np.full(len(entities.rows.starts), day)
                    yield table.name, epoch_day(int(day)), bucket, entities.features_as_of(as_of)

    return make


def category_tiles(rows: pa.Table) -> pa.Table:
    """Tiles of (user, item) summed by (user, level, category), sorted; items without a category drop out."""
    levels = []
    for level, ids in zip(USER_LEVELS, _LEVEL_IDS, strict=True):
        of_level = rows.select(["user_id", "day", *USER_CATEGORY.measures, ids]).rename_columns(
            {ids: "category_id"}
        )
        sums = of_level.filter(pa.compute.is_valid(of_level["category_id"])).group_by(
            ["user_id", "category_id", "day"], use_threads=False
        )
        tiles = sums.aggregate([(name, "sum") for name in USER_CATEGORY.measures])
        tiles = tiles.rename_columns({f"{name}_sum": name for name in USER_CATEGORY.measures})
        levels.append(tiles.append_column("level", pa.array([level] * tiles.num_rows, pa.string())))
    keys = ("user_id", "level", "category_id", "day")
    return pa.concat_tables(levels).sort_by([(name, "ascending") for name in keys]).combine_chunks()
