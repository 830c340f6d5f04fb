"""Scored candidates -> shelves: the joint objective, the rules and a reason for every row."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.candidates.channels import BIT
from jobs.config import RecommendConfig

PREDICTION_COLUMNS = {
    "purchase": "p_purchase",
    "spend": "expected_spend",
    "buys_on_discount": "p_buys_on_discount",
}


def utility(weights: Mapping[str, float]) -> Column:
    """The joint objective, a weighted sum of predictions; `spend` counts in whole currency units."""
    scale = {"spend": 100.0}  # predictions of spend are in cents
    terms = [
        F.lit(weight / scale.get(task, 1.0)) * F.col(PREDICTION_COLUMNS[task])
        for task, weight in weights.items()
    ]
    return sum(terms[1:], terms[0])


def rank_shelves(scored: DataFrame, config: RecommendConfig) -> DataFrame:
    """Adds utility and rank; keeps each user's best, at most `max_per_category` of a category.

    `scored` has user_id, item_id, category_id and the predictions. Ties go to the smaller item_id.
    """
    best_first = [F.desc("utility"), F.col("item_id")]
    in_category = Window.partitionBy("user_id", "category_id").orderBy(*best_first)
    on_shelf = Window.partitionBy("user_id").orderBy(*best_first)
    rated = scored.withColumn("utility", utility(config.utility))
    allowed = rated.withColumn("_place", F.row_number().over(in_category)).where(
        F.col("category_id").isNull() | (F.col("_place") <= config.max_per_category)
    )
    ranked = allowed.drop("_place").withColumn("rank", F.row_number().over(on_shelf).cast("int"))
    return ranked.where(F.col("rank") <= config.items_per_user)


def reason() -> Column:
    """Why an item is on the shelf, in words, from its channels and the features of the pair."""
    times, last = F.col("user_item_line_count"), F.col("user_item_days_since_last")
    every = F.round("user_item_mean_interval").cast("int")
    kind = F.initcap(F.element_at(F.split("type_id", " / "), -1))  # null where the catalogue stops before
    bought = F.concat(
        F.lit("Bought "),
        F.when(times == 1, F.lit("once")).otherwise(F.concat(times.cast("string"), F.lit(" times"))),
        F.lit(", last "),
        F.when(last == 1, F.lit("yesterday")).otherwise(F.concat(last.cast("string"), F.lit(" days ago"))),
        F.when(every == 1, F.lit("; usually every day"))
        .when(every > 1, F.concat(F.lit("; usually every "), every.cast("string"), F.lit(" days")))
        .otherwise(F.lit("")),
    )
    department = F.concat(
        F.lit("Popular in a department this household shops"),
        F.coalesce(F.concat(F.lit(": "), kind), F.lit("")),
    )
    offer = F.when(_has("on_promotion"), F.lit(", on promotion")).otherwise(F.lit(""))
    of_type = F.concat(kind, F.lit(", which this household buys"))
    return (
        F.when(times > 0, F.concat(bought, offer))
        .when(_has("popular_in_type"), F.concat(F.lit("The favourite in "), of_type, offer))
        .when(_has("popular_in_department"), F.concat(department, offer))
        .when(_has("on_promotion"), F.concat(F.lit("On offer in "), of_type))
        .otherwise(F.lit("Popular with all households"))
    )


def channel_names() -> Column:
    """The channels of a row as a list of names."""
    names = F.array(*[F.when(_has(name), F.lit(name)) for name in BIT])
    return F.array_compact(names)


def _has(channel: str) -> Column:
    return F.col("channels").bitwiseAND(F.lit(BIT[channel])) != 0
