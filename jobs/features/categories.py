"""Items and their place in the category tree, by level."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.features.plans import LEVELS
from jobs.features.price_quantiles import PRICE_QUANTILE

WORDS = r"regexp_extract_all(lower({}), '[\p{{L}}\p{{N}}]+')"
_LEVELS = """
SELECT item_id, brand, title, category_path, category_path[1] AS department_id,
       category_path[1] || ' / ' || category_path[2] AS category_id,
       category_path[1] || ' / ' || category_path[2] || ' / ' || category_path[3] AS type_id
"""
# The same as `item_levels` of the view `catalogue`, for DuckDB; and with what takes longer to find out.
ITEM_LEVELS_SQL = f"{_LEVELS} FROM catalogue"
ITEM_CATALOGUE_SQL = f"""
{_LEVELS}, {PRICE_QUANTILE} AS price_quantile, {WORDS.format("title")} AS title_words FROM catalogue
"""


def item_levels(items: DataFrame) -> DataFrame:
    """item_id, brand, title, price_quantile, and the path down to each level: department_id ... or null."""
    path = F.col("category_path")
    levels = [
        F.when(F.size(path) >= depth, F.array_join(F.slice(path, 1, depth), " / ")).alias(f"{level}_id")
        for depth, level in enumerate(LEVELS, start=1)
    ]
    quantile = F.expr(PRICE_QUANTILE).alias("price_quantile")
    return items.select("item_id", "brand", "title", *levels, quantile)


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
