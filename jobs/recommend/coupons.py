"""Active campaigns -> the coupons worth a user's attention."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def rank_coupons(
    members: DataFrame, coupons: DataFrame, half_life_counts: DataFrame, redeemed: DataFrame, per_user: int
) -> DataFrame:
    """(user_id, rank, campaign_id, coupon_id, utility, p_redeem, affinity, reason), each user's best.

    Args:
        members: user_id, campaign_id, p_redeem of the campaigns that a user is a member of today.
        coupons: promotion_id (the campaign), coupon_id, item_id.
        half_life_counts: user_id, item_id, half_life: the user's purchases, old ones counting less.
        redeemed: user_id, coupon_id: redeemed already, not offered again.
        per_user: rows kept per user.

    utility = p_redeem x (1 + affinity), affinity = the half-life purchases of the coupon's products.
    """
    offers = coupons.select(F.col("promotion_id").alias("campaign_id"), "coupon_id", "item_id")
    units = F.round(F.col("half_life") * 1_000_000).cast(
        "long"
    )  # integers: the order of rows does not matter
    bought = (
        half_life_counts.join(members.select("user_id", "campaign_id"), "user_id")
        .join(F.broadcast(offers), ["campaign_id", "item_id"])
        .groupBy("user_id", "campaign_id", "coupon_id")
        .agg((F.sum(units) / 1_000_000).alias("affinity"), F.count(F.lit(1)).alias("products_bought"))
    )
    matched = (
        members.join(F.broadcast(offers.select("campaign_id", "coupon_id").distinct()), "campaign_id")
        .join(redeemed, ["user_id", "coupon_id"], "left_anti")
        .join(bought, ["user_id", "campaign_id", "coupon_id"], "left")
        .fillna({"affinity": 0.0, "products_bought": 0})
        .withColumn("utility", F.col("p_redeem") * (1 + F.col("affinity")))
    )
    best_first = Window.partitionBy("user_id").orderBy(F.desc("utility"), "coupon_id", "campaign_id")
    products = F.col("products_bought")
    reason = (
        F.when(products == 0, F.lit("For a campaign that this household was chosen for"))
        .when(products == 1, F.lit("Good for a product this household buys"))
        .otherwise(
            F.concat(F.lit("Good for "), products.cast("string"), F.lit(" products this household buys"))
        )
    )
    return (
        matched.withColumn("rank", F.row_number().over(best_first).cast("int"))
        .where(F.col("rank") <= per_user)
        .withColumn("reason", reason)
        .drop("products_bought")
    )
