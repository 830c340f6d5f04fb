"""Baskets of the last weeks -> items bought together."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

COMPLEMENT_WINDOW_DAYS = 91


def make_complements(events: DataFrame, min_baskets: int, per_item: int) -> DataFrame:
    """The strongest complements of each item, of pairs in at least `min_baskets` baskets.

    lift = P(both) / (P(item) P(complement)) over all baskets of `events`. Ranked by lift x confidence would
    favour best-sellers, by lift alone the rare: ranks go by baskets_together x log(lift), pairs with lift
    above 1 only. Items in fewer than `min_baskets` baskets are dropped before the pairs are made.
    """
    is_purchase = (F.col("event_type") == "purchase") & (F.col("quantity") > 0)
    lines = events.where(is_purchase).select("request_id", "item_id").distinct()
    all_baskets = lines.agg(F.count_distinct("request_id").alias("all_baskets"))
    frequent = (
        lines.groupBy("item_id")
        .agg(F.count(F.lit(1)).alias("baskets"))
        .where(F.col("baskets") >= min_baskets)
        .withColumn("number", F.row_number().over(Window.orderBy("item_id")))
    )
    # Most of the work is here: each pair once, and by numbers, which are half the work of names.
    left = lines.join(F.broadcast(frequent), "item_id").select("request_id", F.col("number").alias("first"))
    right = left.withColumnRenamed("first", "second")
    pairs = (
        left.join(right, "request_id")
        .where(F.col("first") < F.col("second"))
        .groupBy("first", "second")
        .agg(F.count(F.lit(1)).alias("baskets_together"))
        .where(F.col("baskets_together") >= min_baskets)
    )
    both_ways = F.array(F.struct("first", "second"), F.struct(_as("second", "first"), _as("first", "second")))
    item = frequent.withColumnRenamed("number", "first")
    complement = frequent.select(
        _as("number", "second"), _as("item_id", "complement_item_id"), _as("baskets", "complement_baskets")
    )
    together = (
        pairs.select("baskets_together", F.inline(both_ways))
        .join(F.broadcast(item), "first")
        .join(F.broadcast(complement), "second")
    )
    lift = F.col("baskets_together") * F.col("all_baskets") / (F.col("baskets") * F.col("complement_baskets"))
    strength = F.col("baskets_together") * F.log("lift")
    best_first = Window.partitionBy("item_id").orderBy(strength.desc(), "complement_item_id")
    return (
        together.crossJoin(F.broadcast(all_baskets))
        .withColumn("lift", lift)
        .where("lift > 1")
        .withColumn("confidence", F.col("baskets_together") / F.col("baskets"))
        .withColumn("rank", F.row_number().over(best_first).cast("int"))
        .where(F.col("rank") <= per_item)
        .select("item_id", "rank", "complement_item_id", "baskets_together", "lift", "confidence")
    )


def _as(name: str, new: str) -> Column:
    return F.col(name).alias(new)
