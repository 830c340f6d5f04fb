"""Metrics of ranked lists against what was bought, one row per user and segment.

NDCG@k with binary gains: sum over hits of 1 / log2(rank + 1), divided by the same sum for an ideal list of
min(k, bought) hits. Recall@k = hits / min(k, bought). Hit@k = 1 if there is any hit. A user without a list
counts 0; only users that bought something are scored.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

METRICS = ("ndcg", "recall", "hit")


def score_lists(lists: DataFrame, bought: DataFrame, k: int) -> DataFrame:
    """(segment, user_id, method, ndcg, recall, hit).

    Args:
        lists: method, user_id, item_id, rank (from 1).
        bought: segment, user_id, item_id, each once; the list is judged in each segment against the items
            bought there.
        k: length of the lists.
    """
    ideal = F.aggregate(
        F.sequence(F.lit(1), F.least(F.lit(k), F.col("bought_count"))),
        F.lit(0.0),
        lambda total, rank: total + 1 / F.log2(rank + 1),
    )
    per_user = bought.groupBy("segment", "user_id").agg(F.count(F.lit(1)).cast("int").alias("bought_count"))
    methods = F.broadcast(lists.select("method").distinct())
    hits = (
        lists.where(F.col("rank") <= k)
        .join(bought, ["user_id", "item_id"])
        .groupBy("segment", "user_id", "method")
        .agg(F.sum(1 / F.log2(F.col("rank") + 1)).alias("gain"), F.count(F.lit(1)).alias("hits"))
    )
    scored = (
        per_user.crossJoin(methods)
        .join(hits, ["segment", "user_id", "method"], "left")
        .fillna(0, ["gain", "hits"])
    )
    return scored.select(
        "segment",
        "user_id",
        "method",
        (F.col("gain") / ideal).alias("ndcg"),
        (F.col("hits") / F.least(F.lit(k), F.col("bought_count"))).alias("recall"),
        (F.col("hits") > 0).cast("double").alias("hit"),
    )
