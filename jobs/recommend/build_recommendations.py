"""tiles + features + promoted model -> tonight's output tables (jobs/recommend/tables.py).

One Spark plan expands the candidates of all users, joins their features, scores them and keeps the best:
no table of users x candidates is written. Features and candidates come from the code that made the examples.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.candidates.channels import AsOf, excluded_items, merge_channels, promoted_share, propose
from jobs.examples.build_examples import campaign_affinity, department_names
from jobs.examples.feature_columns import FeatureFrames, add_item_features, add_user_features
from jobs.features.anchors import scoring_day
from jobs.features.build_features import (
    make_user_category_features,
    make_user_features,
    make_user_item_features,
)
from jobs.features.categories import item_levels
from jobs.features.tables import (
    ITEM_DAYS,
    USER_DAYS,
    USER_ITEM_DAYS,
    category_features,
    item_features,
    user_features,
)
from jobs.lake.columns import Table
from jobs.lake.lake import Lake
from jobs.lake.spark import start_spark
from jobs.learn.registry import serving_model
from jobs.learn.train_model import models_folder
from jobs.logs.tables import CAMPAIGN_MEMBERS, EVENTS, ITEMS, PROMOTIONS
from jobs.recommend.complements import COMPLEMENT_WINDOW_DAYS, make_complements
from jobs.recommend.coupons import rank_coupons
from jobs.recommend.scoring import score
from jobs.recommend.shelves import PREDICTION_COLUMNS, channel_names, rank_shelves, reason
from jobs.recommend.tables import COUPON_RECOMMENDATIONS, ITEM_COMPLEMENTS, RECOMMENDATIONS, USER_PROFILES
from jobs.stage import RowCounts, Run, stage_main

_REASON_COLUMNS = (
    "user_item_line_count", "user_item_days_since_last", "user_item_mean_interval", "type_id", "category_id",
)  # fmt: skip


@dataclass
class Night:
    """What the stage reads once and uses more than once: tonight's features of every user."""

    run: Run
    lake: Lake
    model_version: str

    def __post_init__(self) -> None:
        self.spark = start_spark(self.run.runtime)
        self.config = self.run.scenario
        self.day = scoring_day(self.run)
        self.history = (self.config.logs.first_day, self.run.date)

    @property
    def model_folder(self) -> Path:
        return models_folder(self.run) / self.model_version

    def read(self, table: Table) -> DataFrame:
        return self.lake.read(self.spark, table, self.history)

    @cached_property
    def as_of(self) -> DataFrame:
        """(user_id, ds): every user that the log knows, as of the day after the run date."""
        return self.read(USER_DAYS).select("user_id").distinct().withColumn("ds", F.lit(self.day[0]))

    @cached_property
    def frames(self) -> FeatureFrames:
        features, pairs = self.config.features, self.read(USER_ITEM_DAYS)
        levels = item_levels(self.lake.read(self.spark, ITEMS))
        window, top = self.config.examples.label_window_days, self.config.candidates.bought_before
        days = self.as_of.select("ds").distinct()
        return FeatureFrames(
            users=make_user_features(self.read(USER_DAYS), self.as_of, features).cache(),
            items=self.lake.read(self.spark, item_features(features), self.day).cache(),
            categories=self.lake.read(self.spark, category_features(features), self.day),
            user_category=make_user_category_features(pairs, levels, self.as_of, features).cache(),
            user_item=make_user_item_features(pairs, self.as_of, features, top).cache(),
            promoted=promoted_share(self.lake.read(self.spark, PROMOTIONS), days, window).cache(),
            levels=levels,
        )


def make_shelves(night: Night) -> DataFrame:
    """(user_id, rank, item_id, predictions, reason ...) of every user."""
    frames, config = night.frames, night.config
    excluded = excluded_items(night.read(ITEM_DAYS), config.candidates.max_line_quantity)
    as_of = AsOf(frames.user_item, frames.user_category, frames.items, frames.promoted, frames.levels)
    pairs = merge_channels(propose(as_of, excluded, config.candidates))
    wanted = [*config.model.columns, *_REASON_COLUMNS]
    featured = without_model_nulls(
        add_item_features(pairs, frames, config.features, wanted), config.model.columns
    )
    tasks = {task: column for task, column in PREDICTION_COLUMNS.items() if _has_task(night, task)}
    keep = ["channels", *_REASON_COLUMNS]
    scored = score(featured, night.model_folder, ["user_id", "item_id"], tasks, keep)
    return rank_shelves(scored, config.recommend).withColumns(
        {"reason": reason(), "channels": channel_names()}
    )


def without_model_nulls(rows: DataFrame, columns: Sequence[str]) -> DataFrame:
    """Adds the fields of the model that rows of this kind do not have, as nulls."""
    missing = [name for name in columns if name not in rows.columns]
    return rows.withColumns({name: F.lit(None).cast("string") for name in missing})


def make_profiles(night: Night, shelves: DataFrame) -> DataFrame:
    """One row per user: activity, price sensitivity, interests by department, expected spend on the shelf."""
    users = night.frames.users
    rows = without_model_nulls(
        add_user_features(night.as_of, users, night.config.features, night.config.model.columns),
        night.config.model.columns,
    )
    profile = users.select(
        "user_id",
        F.col("user_basket_count_28d").alias("basket_count_28d"),
        F.col("user_spend_28d").alias("spend_28d"),
        F.col("user_days_since_last").cast("int").alias("days_since_last"),
        F.col("user_discount_share").alias("price_sensitivity"),
    )
    spend = shelves.groupBy("user_id").agg(
        (F.sum(F.round(F.col("expected_spend") * 1_000).cast("long")) / 1_000).alias("expected_spend")
    )
    if not _has_task(night, "category_interest"):
        return profile.join(spend, "user_id", "left").withColumn(
            "interests", F.create_map().cast("map<string,string>")
        )
    scored = score(rows, night.model_folder, ["user_id"], {"category_interest": "p_interest"})
    names = F.array(*[F.lit(name) for name in department_names(night.frames.levels)])
    shares = F.transform("p_interest", lambda share: F.format_number(share, 4))
    interests = scored.select("user_id", F.map_from_arrays(names, shares).alias("interests"))
    return profile.join(interests, "user_id", "left").join(spend, "user_id", "left")


def make_coupons(night: Night) -> DataFrame:
    """The coupons of the campaigns that each user is a member of on the day after the run date."""
    config, tomorrow = night.config, night.day[0]
    first = config.logs.first_day + timedelta(days=1)
    members = night.lake.read(night.spark, CAMPAIGN_MEMBERS).where(
        (F.col("valid_from") <= tomorrow) & (F.col("valid_to") >= tomorrow) & (F.col("valid_from") >= first)
    )
    anchored = members.select(F.col("valid_from").alias("ds"), "user_id", "campaign_id", "campaign_type")
    promotions = night.lake.read(night.spark, PROMOTIONS).where("kind = 'coupon'")
    users = night.lake.read(night.spark, user_features(config.features), (first, tomorrow))
    featured = add_user_features(anchored, users, config.features, config.model.columns)
    affinity = campaign_affinity(anchored, promotions, night.read(USER_ITEM_DAYS))
    featured = featured.join(affinity, ["user_id", "campaign_id"], "left").fillna(0.0, ["campaign_affinity"])
    rows = without_model_nulls(featured, config.model.columns)
    scored = score(rows, night.model_folder, ["user_id", "campaign_id"], {"coupon": "p_redeem"})
    half_life = f"user_item_half_life_{config.features.half_lives_days[0]}d"
    counts = night.frames.user_item.select("user_id", "item_id", F.col(half_life).alias("half_life"))
    redeemed = (
        night.read(EVENTS).where("event_type = 'coupon_redeem'").select("user_id", "coupon_id").distinct()
    )
    return rank_coupons(scored, promotions, counts, redeemed, config.recommend.coupons_per_user)


def build_recommendations(run: Run, lake: Lake) -> RowCounts:
    """Writes tonight's output tables with the model that serves; returns rows per table.

    Raises:
        ValueError: if no model has been promoted yet.
    """
    model = serving_model(lake, run.date, own_run=run.run_id)
    if model is None:
        raise ValueError(
            f"no model was promoted by {run.date}: run train and evaluate, see model_runs.reason"
        )
    night = Night(run, lake, model["model_version"])
    shelves = make_shelves(night).cache()
    recent = lake.read(night.spark, EVENTS, (run.date - timedelta(days=COMPLEMENT_WINDOW_DAYS - 1), run.date))
    rules = run.scenario.recommend
    outputs = {
        RECOMMENDATIONS: shelves.withColumn("surface", F.lit(rules.surface)),
        USER_PROFILES: make_profiles(night, shelves),
        ITEM_COMPLEMENTS: make_complements(recent, rules.min_baskets_together, rules.complements_per_item),
    }
    if _has_task(night, "coupon"):
        outputs[COUPON_RECOMMENDATIONS] = make_coupons(night)
    counts = {}
    for table, rows in outputs.items():
        stamped = rows.withColumns({
            "ds": F.lit(run.date), "run_id": F.lit(run.run_id), "model_version": F.lit(night.model_version)
        })  # fmt: skip
        counts[table.name] = lake.replace_days(
            stamped.select(table.column_names), table, (run.date, run.date)
        )
    night.spark.catalog.clearCache()
    return counts


def _has_task(night: Night, name: str) -> bool:
    return any(task.name == name for task in night.config.model.tasks)


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "recommend", build_recommendations, argv)


if __name__ == "__main__":
    sys.exit(main())
