"""Items and their place in the category tree, by level."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.features.plans import LEVELS

# The same as `item_levels` of the view `catalogue`, for DuckDB.
ITEM_LEVELS_SQL = """
SELECT item_id, brand, title, category_path[1] AS department_id,
       category_path[1] || ' / ' || category_path[2] AS category_id,
       category_path[1] || ' / ' || category_path[2] || ' / ' || category_path[3] AS type_id
FROM catalogue
"""


def item_levels(items: DataFrame) -> DataFrame:
    """item_id, brand, title and the path down to each level: department_id, category_id, type_id or null."""
    path = F.col("category_path")
    levels = [
        F.when(F.size(path) >= depth, F.array_join(F.slice(path, 1, depth), " / ")).alias(f"{level}_id")
        for depth, level in enumerate(LEVELS, start=1)
    ]
    return items.select("item_id", "brand", "title", *levels)


def add_category_levels(tiles: DataFrame, levels: DataFrame, names: Sequence[str] = LEVELS) -> DataFrame:
    """Repeats each item's row for the levels of its path, as (level, category_id); unknown items drop out."""
    pairs = F.array(
        *[F.struct(F.lit(name).alias("level"), F.col(f"{name}_id").alias("category_id")) for name in names]
    )
    return (
        tiles.join(F.broadcast(levels.select("item_id", *[f"{name}_id" for name in names])), "item_id")
        .withColumn("_level", F.explode(pairs))
        .select(*tiles.columns, "_level.level", "_level.category_id")
        .where(F.col("category_id").isNotNull())
    )
