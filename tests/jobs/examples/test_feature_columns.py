"""Features join by equality of the day and the key, one row per pair."""

from datetime import date, timedelta

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from jobs.config import load_scenario
from jobs.examples.feature_columns import (
    FeatureFrames,
    add_item_features,
    add_user_features,
    feature_column_types,
)
from jobs.features.tables import (
    category_features,
    item_features,
    user_category_features,
    user_features,
    user_item_features,
)
from jobs.lake.columns import Table

DAY = date(2017, 3, 1)  # a Wednesday
CONFIG = load_scenario("grocery").features
WANTED = (
    "user_item_rank", "user_type_rank", "user_department_rank", "user_day_count", "item_rank",
    "type_line_count", "department_line_count", "display_share", "anchor_weekday", "brand",
)  # fmt: skip


def features(spark: SparkSession, table: Table, value: str, *keys: dict[str, str]) -> DataFrame:
    """A feature table whose column `value` counts from 1; the day before has the same keys and 100 more."""
    rows = [Row(ds=DAY, **key, **{value: number}) for number, key in enumerate(keys, start=1)]
    rows += [Row(ds=DAY - timedelta(1), **key, **{value: 100 + number}) for number, key in enumerate(keys)]
    known = spark.createDataFrame(rows)
    missing = [name for name in table.column_names if name not in known.columns]
    return known.withColumns({name: F.lit(None).cast("double") for name in missing})


@pytest.fixture
def frames(spark: SparkSession) -> FeatureFrames:
    of_u = {"user_id": "u"}
    category = [
        {"level": "department", "category_id": "D"}, {"level": "category", "category_id": "D / C"},
        {"level": "type", "category_id": "D / C / T"},
    ]  # fmt: skip
    levels = [("i", "D", "D / C", "D / C / T", "b"), ("bare", None, None, None, None)]
    promoted = spark.createDataFrame([(DAY, "i", 0.5)], "ds date, item_id string, display_share double")
    return FeatureFrames(
        users=features(spark, user_features(CONFIG), "user_day_count", of_u),
        items=features(spark, item_features(CONFIG), "item_rank", {"item_id": "i"}),
        categories=features(spark, category_features(CONFIG), "category_line_count", *category),
        user_category=features(
            spark,
            user_category_features(CONFIG),
            "user_category_rank",
            *[{**of_u, **key} for key in category],
        ),
        user_item=features(spark, user_item_features(CONFIG), "user_item_rank", {**of_u, "item_id": "i"}),
        promoted=promoted.withColumn("mailer_share", F.lit(0.1)),
        levels=spark.createDataFrame(
            levels, "item_id string, department_id string, category_id string, type_id string, brand string"
        ),
    )


def test_a_pair_gets_the_features_of_its_day_and_nulls_where_there_are_none(
    spark: SparkSession, frames: FeatureFrames
) -> None:
    pairs = [(DAY, "u", "i"), (DAY, "u", "bare"), (DAY, "new", "i"), (DAY, "u", "unknown")]

    featured = add_item_features(
        spark.createDataFrame(pairs, "ds date, user_id string, item_id string"), frames, CONFIG, WANTED
    )

    rows = {(row.user_id, row.item_id): tuple(row[name] for name in WANTED) for row in featured.collect()}
    assert rows == {
        ("u", "i"): (1, 3, 1, 1, 1, 3, 1, 0.5, "Wed", "b"),
        ("new", "i"): (None, None, None, None, 1, 3, 1, 0.5, "Wed", "b"),
        ("u", "bare"): (None, None, None, 1, None, None, None, 0.0, "Wed", None),
        ("u", "unknown"): (None, None, None, 1, None, None, None, 0.0, "Wed", None),
    }
    assert featured.count() == len(pairs)


def test_only_wanted_user_features_are_added(spark: SparkSession, frames: FeatureFrames) -> None:
    rows = spark.createDataFrame([(DAY, "u"), (DAY, "new")], "ds date, user_id string")

    featured = add_user_features(rows, frames.users, CONFIG, ["user_day_count", "item_rank"])

    assert featured.columns == ["ds", "user_id", "user_day_count", "anchor_weekday"]
    assert {(row.user_id, row.user_day_count) for row in featured.collect()} == {("u", 1), ("new", None)}


def test_every_field_of_the_scenario_has_a_type() -> None:
    types = feature_column_types(CONFIG)

    assert set(load_scenario("grocery").model.columns) <= set(types)
    assert set(WANTED) <= set(types)
