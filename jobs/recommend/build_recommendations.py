"""tiles + features + promoted model -> tonight's output tables (jobs/recommend/tables.py)."""

import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from pyarrow import fs
from pyiceberg.expressions import GreaterThanOrEqual
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.examples.campaigns import campaign_affinity
from jobs.examples.feature_columns import add_user_features
from jobs.features.tables import USER_ITEM_DAYS, user_features
from jobs.lake.columns import Table
from jobs.lake.lake import Lake
from jobs.lake.spark import run_together, start_spark
from jobs.learn.train_model import models_folder
from jobs.logs.tables import CAMPAIGN_MEMBERS, EVENTS, PROMOTIONS
from jobs.recommend.choose_model import choose_model
from jobs.recommend.complements import COMPLEMENT_WINDOW_DAYS, make_complements
from jobs.recommend.coupons import rank_coupons
from jobs.recommend.score_users import ServingFeatures, read_serving, score_users
from jobs.recommend.scoring import score
from jobs.recommend.tables import COUPON_RECOMMENDATIONS, ITEM_COMPLEMENTS
from jobs.stage import RowCounts, Run, stage_main
from mtl_model.remove_folder import refuse_outside


def make_coupons(
    run: Run, lake: Lake, spark: SparkSession, half_life_counts: DataFrame, model_folder: Path
) -> DataFrame:
    """The coupons of the campaigns that each user is a member of on the day after the run date."""
    config, tomorrow = run.scenario, run.date + timedelta(days=1)
    history = config.logs.first_day, run.date
    started = config.logs.first_day + timedelta(days=1), tomorrow
    goes_on = GreaterThanOrEqual(term="valid_to", value=tomorrow.isoformat())
    starts = lake.files_by_day(CAMPAIGN_MEMBERS, started, where=goes_on)  # its days are first days
    active = min(starts, default=tomorrow), tomorrow
    members = lake.read(spark, CAMPAIGN_MEMBERS, active).where(F.col("valid_to") >= tomorrow)
    anchored = members.select(F.col("valid_from").alias("ds"), "user_id", "campaign_id", "campaign_type")
    promotions = lake.read(spark, PROMOTIONS).where("kind = 'coupon'")
    users = lake.read(spark, user_features(config.features), active)
    featured = add_user_features(anchored, users, config.features, config.model.columns)
    affinity = campaign_affinity(anchored, promotions, lake.read(spark, USER_ITEM_DAYS, history))
    featured = featured.join(affinity, ["user_id", "campaign_id"], "left").fillna(0.0, ["campaign_affinity"])
    scored = score(featured, model_folder, ["user_id", "campaign_id"], "coupon", "p_redeem")
    redeemed = lake.read(spark, EVENTS, history).where("event_type = 'coupon_redeem'")
    taken = redeemed.select("user_id", "coupon_id").distinct()
    return rank_coupons(scored, promotions, half_life_counts, taken, config.recommend.coupons_per_user)


def build_recommendations(run: Run, lake: Lake) -> RowCounts:
    """Writes tonight's output tables with the model that serves; returns rows per table.

    Raises:
        ValueError: if there is no promoted model that can score tonight's rows.
    """
    night = Outputs(run, lake, choose_model(run, lake))
    try:
        before = run_together([night.complements, night.write_serving])
        after = run_together([night.shelves, night.coupons])
    finally:
        _remove(night.serving.folder, night.serving.parent)
    return {name: count for counts in (*after, *before) for name, count in counts.items()}


class Outputs:
    """Tonight's tables; each method writes its own and returns rows per table."""

    def __init__(self, run: Run, lake: Lake, version: str) -> None:
        self.run, self.lake, self.version = run, lake, version
        self.rules, self.model_folder = run.scenario.recommend, models_folder(run) / version
        self.spark = start_spark(run.runtime)
        self.serving = ServingFeatures(run, lake.for_one_table(), self.spark)
        self.serving_files: Mapping[str, tuple[str, ...]] = {}

    def write_serving(self) -> RowCounts:
        """Makes the features that shelves and coupons read; they are no table."""
        self.serving_files = self.serving.write()
        return {}

    def shelves(self) -> RowCounts:
        lake = self.serving.lake.for_one_table()
        return score_users(self.run, lake, self.spark, self.serving_files, self.model_folder, self.version)

    def coupons(self) -> RowCounts:
        """Of a scenario with the task `coupon`."""
        run, lake = self.run, self.serving.lake.for_one_table()
        if all(task.name != "coupon" for task in run.scenario.model.tasks):
            return {}
        half_life = f"user_item_half_life_{run.scenario.features.half_lives_days[0]}d"
        pairs = read_serving(self.spark, self.serving.tables["user_item"], self.serving_files["user_item"])
        bought = pairs.select("user_id", "item_id", F.col(half_life).alias("half_life"))
        rows = make_coupons(run, lake, self.spark, bought, self.model_folder)
        return self._replace(lake, COUPON_RECOMMENDATIONS, rows)

    def complements(self) -> RowCounts:
        run, lake, rules = self.run, self.lake.for_one_table(), self.rules
        first = run.date - timedelta(days=COMPLEMENT_WINDOW_DAYS - 1)
        recent = lake.read(self.spark, EVENTS, (first, run.date))
        rows = make_complements(recent, rules.min_baskets_together, rules.complements_per_item)
        return self._replace(lake, ITEM_COMPLEMENTS, rows)

    def _replace(self, lake: Lake, table: Table, rows: DataFrame) -> dict[str, int]:
        stamps = {"ds": self.run.date, "run_id": self.run.run_id, "model_version": self.version}
        stamped = rows.withColumns({name: F.lit(value) for name, value in stamps.items()})
        today = (self.run.date, self.run.date)
        return {table.name: lake.replace_days(stamped.select(table.column_names), table, today)}


def _remove(folder: str, parent: str) -> None:
    """Removes a folder of the store, which lies below `parent`, if it is there."""
    (filesystem, path), (_, above) = map(fs.FileSystem.from_uri, (folder, parent))
    refuse_outside(Path(path), Path(above))
    if filesystem.get_file_info(path).type == fs.FileType.Directory:
        filesystem.delete_dir(path)


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "recommend", build_recommendations, argv)


if __name__ == "__main__":
    sys.exit(main())
