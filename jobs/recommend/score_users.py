"""Tonight's users in parts -> their shelves and profiles: the heavy half of the recommend stage.

The features of all users as of tomorrow are laid down in parts of users, from tiles or states; then one
task per part proposes candidates, joins features, scores them and keeps the best. No table of users x
candidates is written, and features and candidates come from the code that made the examples.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.candidates.build_candidates import item_inputs
from jobs.candidates.channels import add_anchored, add_day_items, propose
from jobs.config import RecommendConfig, ScenarioConfig
from jobs.examples.feature_columns import item_feature_query, user_feature_query
from jobs.features.build_declared import catalogue_version, features_of_all
from jobs.features.build_features import make_user_features
from jobs.features.categories import item_levels
from jobs.features.co_purchases import add_co_purchased
from jobs.features.declared_states import StatePlan, state_plans
from jobs.features.declared_windows import declared_history, declared_windows, place_events
from jobs.features.event_tiles import event_days
from jobs.features.pair_windows import pair_windows, place_users
from jobs.features.tables import (
    USER_DAYS,
    USER_ITEM_DAYS,
    category_features,
    declared_tables,
    user_category_features,
    user_features,
    user_item_features,
)
from jobs.lake.buckets import bucket_column
from jobs.lake.columns import Table
from jobs.lake.data_files import DataFile, Place, place_of
from jobs.lake.day_tasks import DayDatabase, Input, MakeDay, make_each_day, plan_tasks
from jobs.lake.files import write_files, write_made
from jobs.lake.lake import Lake
from jobs.lake.spark import run_together
from jobs.logs.tables import ITEMS
from jobs.recommend.model_reasons import add_model_reasons
from jobs.recommend.scoring import add_predictions, load_model
from jobs.recommend.shelves import PREDICTION_COLUMNS, REASON_COLUMNS, prediction_column, rank_shelves
from jobs.recommend.tables import RECOMMENDATIONS, USER_PROFILES
from jobs.stage import RowCounts, Run

TOP_POSITION = 0  # where an item is imagined to be shown: all at the same place
TODAY_TO_TOMORROW = 1  # a task stands for the run date; features are as of the day after

_SHOWN = """
CREATE OR REPLACE TEMP TABLE shown AS
SELECT *, $surface AS surface, $position AS position, $hour::INTEGER AS anchor_hour FROM proposed
"""

# `spend` sums integers (1e-3 of a cent), so that it does not depend on the order of rows.
_PROFILES = """
WITH spend AS (
    SELECT user_id, sum(round(expected_spend * 1000)::BIGINT)::BIGINT / 1000.0::DOUBLE AS expected_spend
    FROM shelf GROUP BY user_id
)
SELECT users.user_id, user_basket_count_28d AS basket_count_28d, user_spend_28d AS spend_28d,
       user_days_since_last::INTEGER AS days_since_last, user_discount_share AS price_sensitivity,
       {interests} AS interests, spend.expected_spend
FROM users LEFT JOIN spend USING (user_id) LEFT JOIN interest USING (user_id)
ORDER BY users.user_id
"""
_INTERESTS = "map($names::VARCHAR[], list_transform(p_interest, lambda share: printf('%.4f', share::DOUBLE)))"
_NO_INTERESTS = "map([]::VARCHAR[], []::VARCHAR[])"


class ServingFeatures:
    """The features of every user as of the day after the run date, in files of `user_parts` parts of users.

    They are no table of the lake: nobody but tonight's run may take them for the features of a day's anchors.
    """

    def __init__(self, run: Run, lake: Lake, spark: SparkSession) -> None:
        self.run, self.config, self.lake, self.spark = run, run.scenario, lake, spark
        self.num_parts = self.config.recommend.user_parts
        self.as_of = run.date + timedelta(days=TODAY_TO_TOMORROW)
        self.history = (self.config.logs.first_day, run.date)
        features = self.config.features
        makers = (user_features, user_item_features, user_category_features)
        users, pairs, categories = (replace(make(features), files_per_day=self.num_parts) for make in makers)
        self.parent = f"{lake.load(users).location()}/serving"
        self.folder = f"{self.parent}/{run.date}-{run.run_id}"
        self.tables = {"users": users, "user_item": pairs, "user_category": categories}
        for entity, table in declared_tables(features, of_users=True).items():
            self.tables[f"{entity}_event"] = replace(table, files_per_day=self.num_parts)

    def write(self) -> dict[str, tuple[str, ...]]:
        """Returns the paths of the files of each view."""
        parts = run_together([self._write_pairs, self._write_users, self._write_events])
        files = {name: of_table for part in parts for name, of_table in part.items()}
        return {view: tuple(file.path for file in files[table.name]) for view, table in self.tables.items()}

    def _write_pairs(self) -> dict[str, list[DataFile]]:
        top, as_of = self.config.candidates.bought_before, (self.as_of, self.as_of)
        tiles = self.lake.read(self.spark, USER_ITEM_DAYS, self.history)
        placed = place_users(tiles, self._levels(), every_days=1, num_buckets=self.num_parts)
        make = pair_windows(self.config.features, as_of, 1, self.num_parts, top)
        return write_made(placed, make, self._places("user_item", "user_category"))

    def _write_users(self) -> dict[str, list[DataFile]]:
        users = self.tables["users"]
        user_days = self.lake.read(self.spark, USER_DAYS, self.history)
        as_of = user_days.select("user_id").distinct().withColumn("ds", F.lit(self.as_of))
        rows = make_user_features(user_days, as_of, self.config.features)
        location = self._places("users")[users.name].location
        return {users.name: write_files(rows, users, location, self.num_parts)}

    def _write_events(self) -> dict[str, list[DataFile]]:
        """The declared features, where there are any: from tonight's states, if these hold all of them."""
        features, as_of = self.config.features, (self.as_of, self.as_of)
        declared = state_plans(self.config, of_users=True)
        catalogue = catalogue_version(self.lake)
        if not any(plan.from_tiles for plan in declared) and all(
            self.lake.has_built(plan.state, self.as_of, catalogue) for plan in declared
        ):
            written = [self._write_from_state(plan) for plan in declared]
            return {name: files for of_table in written for name, files in of_table.items()}
        history = declared_history(features, self.history[0], as_of)
        tiles = self.lake.read(self.spark, event_days(self.config), history)
        placed = place_events(tiles, self._levels(), every_days=1, num_buckets=self.num_parts)
        make = declared_windows(features, as_of, 1, self.num_parts, self.config.candidates.acted_on)
        return write_made(placed, make, self._places(*(f"{plan.entity}_event" for plan in declared)))

    def _write_from_state(self, plan: StatePlan) -> dict[str, list[DataFile]]:
        rows = self.lake.read(self.spark, plan.state, (self.as_of, self.as_of))
        part = bucket_column("user_id", self.num_parts)
        placed = rows.repartitionById(self.num_parts, part).sortWithinPartitions(*plan.state.key)
        return write_made(placed, features_of_all(plan, self.as_of), self._places(f"{plan.entity}_event"))

    def _levels(self) -> DataFrame:
        return item_levels(self.lake.read(self.spark, ITEMS))

    def _places(self, *views: str) -> dict[str, Place]:
        tables = [self.tables[view] for view in views]
        return {table.name: place_of(table, self.folder) for table in tables}


def score_users(
    run: Run,
    lake: Lake,
    spark: SparkSession,
    serving: Mapping[str, tuple[str, ...]],
    model_folder: Path,
    version: str,
) -> RowCounts:
    """Writes recommendations and user_profiles of the run date; returns rows per table."""
    config, today = run.scenario, (run.date, run.date)
    inputs = [
        *_serving_inputs(config, serving),
        Input(category_features(config.features), "category", TODAY_TO_TOMORROW, TODAY_TO_TOMORROW),
        *item_inputs(config, after=TODAY_TO_TOMORROW),
    ]
    tasks = plan_tasks(spark, lake, inputs, today, config.recommend.user_parts)
    outputs = (RECOMMENDATIONS, USER_PROFILES)
    make = shelves_of_part(config, model_folder, {"run_id": run.run_id, "model_version": version})
    return lake.replace_made(tasks, make_each_day(make, inputs, outputs), outputs, today)


def _serving_inputs(config: ScenarioConfig, serving: Mapping[str, tuple[str, ...]]) -> list[Input]:
    makers = {
        "users": user_features,
        "user_item": user_item_features,
        "user_category": user_category_features,
    }
    tables = {view: make(config.features) for view, make in makers.items()}
    declared = declared_tables(config.features, of_users=True)
    tables |= {f"{entity}_event": table for entity, table in declared.items()}
    return [Input(table, view, bucketed=True, files=serving[view]) for view, table in tables.items()]


def shelves_of_part(config: ScenarioConfig, model_folder: Path, stamps: Mapping[str, str]) -> MakeDay:
    rules, window = config.recommend, config.examples.label_window_days
    present = {task.name for task in config.model.tasks}
    tasks = {
        task: prediction_column(task) for task in (*PREDICTION_COLUMNS, *rules.utility) if task in present
    }
    wanted = {*config.model.columns, *REASON_COLUMNS}

    def make(database: DayDatabase, day: date) -> dict[str, pa.Table]:
        as_of = day + timedelta(days=TODAY_TO_TOMORROW)
        add_day_items(database, as_of, window, config.candidates.max_line_quantity)
        add_anchored(database, config.features)
        add_co_purchased(database, config.features)
        propose(database, config.candidates)
        add_shown(database, rules)
        query = item_feature_query("shown", config.features, wanted) + " ORDER BY user_id, item_id"
        featured = database.sql(query, params=_used(query, as_of)).to_arrow_table()
        scored = add_predictions(featured, model_folder, tasks)
        kept = ["user_id", "item_id", "channels", *REASON_COLUMNS, *tasks.values()]
        database.register("scored", scored.select(kept))
        constants = {"ds": pa.scalar(day, pa.date32()), "surface": rules.surface, **stamps}
        ranked = rank_shelves(database, rules)
        if rules.reasons:
            ranked = add_model_reasons(database, ranked, featured, model_folder, rules.reasons)
        shelves = _stamped(ranked, RECOMMENDATIONS, constants)
        database.register("shelf", shelves)
        profiles = make_profiles(database, config, model_folder, as_of)
        return {
            RECOMMENDATIONS.name: shelves,
            USER_PROFILES.name: _stamped(profiles, USER_PROFILES, constants),
        }

    return make


def add_shown(database: DayDatabase, rules: RecommendConfig) -> None:
    """Adds the table shown: what is proposed, imagined at the first place of the shelf's surface."""
    context = {"surface": rules.surface, "position": TOP_POSITION, "hour": rules.shown_at_hour}
    database.execute(_SHOWN, context)


def make_profiles(database: DayDatabase, config: ScenarioConfig, model_folder: Path, as_of: date) -> pa.Table:
    """One row per user: activity, price sensitivity, interests by category, expected spend on the shelf."""
    task = config.interest_task
    database.execute("CREATE OR REPLACE TEMP TABLE everyone AS SELECT user_id FROM users")
    query = user_feature_query("everyone", config.features, config.model.columns) + " ORDER BY user_id"
    rows = database.sql(query, params=_used(query, as_of)).to_arrow_table()
    interest = rows.select(["user_id"])
    if task:
        predicted = add_predictions(rows, model_folder, {task: "p_interest"})
        interest = predicted.select(["user_id", "p_interest"])
    database.register("interest", interest)
    if task is None:
        return database.sql(_PROFILES.format(interests=_NO_INTERESTS)).to_arrow_table()
    names = list(load_model(str(model_folder)).label_names[task])  # the catalogue may have others by now
    return database.sql(_PROFILES.format(interests=_INTERESTS), params={"names": names}).to_arrow_table()


def _used(query: str, day: date) -> dict[str, date]:
    return {"day": day} if "$day" in query else {}


def _stamped(rows: pa.Table, table: Table, constants: Mapping[str, object]) -> pa.Table:
    for field in table.arrow_schema():
        if field.name not in rows.column_names:
            value = constants.get(field.name)
            column = (
                pa.repeat(value, rows.num_rows) if value is not None else pa.nulls(rows.num_rows, field.type)
            )
            rows = rows.append_column(field.name, column)
    return rows.select(table.column_names)


def read_serving(spark: SparkSession, table: Table, paths: tuple[str, ...]) -> DataFrame:
    """The serving features of a view as a Spark frame."""
    schema = table.spark_schema()
    return spark.read.schema(schema).parquet(*paths) if paths else spark.createDataFrame([], schema)
