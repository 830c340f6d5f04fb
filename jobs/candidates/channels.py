"""Channels of candidates: what may be shown to a user as of a day, the same for examples and for serving.

All frames carry `ds`, the as-of day; users are those of `user_category_features`.
"""

from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.config import CandidatesConfig

CHANNELS = ("bought_before", "popular", "popular_in_department", "popular_in_type", "on_promotion")
BIT = {channel: 1 << index for index, channel in enumerate(CHANNELS)}

_PROMOTED_TYPES, _PROMOTED_PER_TYPE = 60, 5  # promotions are looked for where the user shops


@dataclass(frozen=True)
class AsOf:
    """The features as of some days that channels draw from; `promoted` comes from `promoted_share`."""

    user_item: DataFrame
    user_category: DataFrame
    items: DataFrame
    promoted: DataFrame
    levels: DataFrame


def propose(as_of: AsOf, excluded: DataFrame, config: CandidatesConfig) -> DataFrame:
    """(ds, user_id, item_id, channel): what each channel proposes, by its bit, without `excluded` items."""
    category_ids = as_of.levels.select("item_id", "department_id", "type_id")
    ranks = ("item_rank", "item_rank_in_department", "item_rank_in_type", "item_user_count_28d")
    items = as_of.items.select("ds", "item_id", *ranks).join(F.broadcast(category_ids), "item_id", "left")
    by_department = (config.popular_departments, config.popular_per_department)
    by_type = (config.popular_types, config.popular_per_type)
    channels = {
        "bought_before": as_of.user_item.where(F.col("user_item_rank") <= config.bought_before),
        "popular": _popular(as_of.user_category, items, config),
        "popular_in_department": _popular_in(as_of.user_category, items, "department", *by_department),
        "popular_in_type": _popular_in(as_of.user_category, items, "type", *by_type),
        "on_promotion": _on_promotion(as_of.user_category, items, as_of.promoted, config),
    }
    frames = [
        channels[name].select("ds", "user_id", "item_id", F.lit(bit).alias("channel"))
        for name, bit in BIT.items()
    ]
    return without_excluded(reduce(DataFrame.unionByName, frames), excluded)


def merge_channels(proposed: DataFrame, *further_keys: str) -> DataFrame:
    """Each proposed pair once: (ds, user_id, item_id, channels)."""
    channels = F.bit_or("channel").cast("int").alias("channels")
    return proposed.groupBy("ds", "user_id", "item_id", *further_keys).agg(channels)


def without_excluded(pairs: DataFrame, excluded: DataFrame) -> DataFrame:
    """Drops pairs (ds, item_id, ...) whose item was excluded before their day."""
    too_late = (pairs["item_id"] == excluded["item_id"]) & (excluded["since"] < pairs["ds"])
    return pairs.join(F.broadcast(excluded), too_late, "left_anti")


def excluded_items(item_days: DataFrame, max_line_quantity: int) -> DataFrame:
    """(item_id, since): items sold in a line of more units than that, and the first day of it."""
    large = item_days.where(F.col("max_line_quantity") > max_line_quantity)
    return large.groupBy("item_id").agg(F.min("ds").alias("since"))


def promoted_share(promotions: DataFrame, days: DataFrame, window_days: int) -> DataFrame:
    """(ds, item_id, display_share, mailer_share): mean shares over the label window [ds, ds + window_days).

    Placements are plans: those that begin within the window are known at its start. A day of the window
    without a placement counts as a share of 0.
    """
    placements = promotions.where(F.col("kind") == "placement")
    last = F.date_add(F.col("as_of.ds"), window_days - 1)
    overlap = F.datediff(F.least("valid_to", last), F.greatest("valid_from", F.col("as_of.ds"))) + 1
    meets = (F.col("valid_from") <= last) & (F.col("valid_to") >= F.col("as_of.ds"))
    joined = placements.drop("ds").join(F.broadcast(days.alias("as_of")), meets)

    def mean(share: str) -> Column:  # a sum of integers (1e-6 of a shop) does not depend on the order of rows
        units = F.round(F.col(share) * 1_000_000).cast("long") * overlap
        return (F.sum(units) / (window_days * 1_000_000)).alias(share)

    return joined.groupBy("as_of.ds", "item_id").agg(mean("display_share"), mean("mailer_share"))


def _popular(user_category: DataFrame, items: DataFrame, config: CandidatesConfig) -> DataFrame:
    users = user_category.where((F.col("level") == "department") & (F.col("user_category_rank") == 1))
    top = items.where(F.col("item_rank") <= config.popular)
    return users.select("ds", "user_id").join(F.broadcast(top), "ds")


def _popular_in(
    user_category: DataFrame, items: DataFrame, level: str, num_categories: int, per_category: int
) -> DataFrame:
    favourites = user_category.where(
        (F.col("level") == level) & (F.col("user_category_rank") <= num_categories)
    )
    top = items.where(F.col(f"item_rank_in_{level}") <= per_category)
    return favourites.select("ds", "user_id", F.col("category_id").alias(f"{level}_id")).join(
        top, ["ds", f"{level}_id"]
    )


def _on_promotion(
    user_category: DataFrame, items: DataFrame, promoted: DataFrame, config: CandidatesConfig
) -> DataFrame:
    """Promoted best-sellers of the user's types, by the user's interest in the type x users of the item."""
    strong = promoted.where(F.greatest("display_share", "mailer_share") >= config.min_promotion_share)
    offers = items.where(F.col("item_rank_in_type") <= _PROMOTED_PER_TYPE).join(strong, ["ds", "item_id"])
    types = user_category.where((F.col("level") == "type") & (F.col("user_category_rank") <= _PROMOTED_TYPES))
    pairs = types.select(
        "ds", "user_id", F.col("category_id").alias("type_id"), F.col("user_category_share").alias("interest")
    ).join(offers, ["ds", "type_id"])
    strength = F.col("interest") * F.col("item_user_count_28d")
    best_first = Window.partitionBy("ds", "user_id").orderBy(strength.desc(), "item_id")
    return pairs.withColumn("_rank", F.row_number().over(best_first)).where(
        F.col("_rank") <= config.on_promotion
    )
