"""What the joint model has to beat: rankings that need no model, made from the same tiles.

Each returns (user_id, item_id, rank) of at most `k` items per user. Ties go to the smaller item id; ids
that are numbers are compared as numbers.
"""

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

RIVALS = ("popular_28d", "own_frequency", "own_half_life_90d")

_UNIT = 1 << 20  # half-life weights in fixed point


def rank_rivals(user_item_days: DataFrame, users: DataFrame, day: date, k: int) -> dict[str, DataFrame]:
    """The rivals' lists for `users` (user_id) with what was known at the end of `day`."""
    age = F.datediff(F.lit(day), "ds")
    weight = F.round(F.pow(F.lit(0.5), age / 90) * _UNIT).cast("long")
    own = (
        user_item_days.where(F.col("ds") <= day)
        .groupBy("user_id", "item_id")
        .agg(F.sum("line_count").alias("frequency"), F.sum(F.col("line_count") * weight).alias("half_life"))
    )
    return {
        "popular_28d": _popular(user_item_days.where(age.between(0, 27)), users, k),
        "own_frequency": _best(own, "frequency", k),
        "own_half_life_90d": _best(own, "half_life", k),
    }


def _popular(recent: DataFrame, users: DataFrame, k: int) -> DataFrame:
    sold = recent.groupBy("item_id").agg(F.sum("line_count").alias("lines"))
    top = sold.orderBy(F.desc("lines"), *_by_id()).limit(k)
    ranked = top.withColumn("rank", F.row_number().over(Window.orderBy(F.desc("lines"), *_by_id())))
    return users.select("user_id").crossJoin(F.broadcast(ranked.select("item_id", "rank")))


def _best(own: DataFrame, by: str, k: int) -> DataFrame:
    best_first = Window.partitionBy("user_id").orderBy(F.desc(by), *_by_id())
    ranked = own.withColumn("rank", F.row_number().over(best_first)).where(F.col("rank") <= k)
    return ranked.select("user_id", "item_id", "rank")


def _by_id() -> list[Column]:
    return [F.length("item_id"), F.col("item_id")]
