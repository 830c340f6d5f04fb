from datetime import date

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.commands.feature_list import list_features
from jobs.config import load_scenario
from jobs.features.config import DeclaredFeature
from jobs.features.tables import declared_tables
from jobs.lake.lake import Lake


def test_every_declared_feature_is_listed_with_its_window_and_meaning() -> None:
    listed = {feature.name: feature for feature in list_features(load_scenario("taobao"))}

    feature = listed["item_cart_count_3d"]
    assert (feature.entity, feature.window, feature.null_share) == ("item", "3", None)
    assert feature.meaning == "events cart in the 3 days before"
    assert listed["user_line_count_28d"].window == "28"
    assert listed["user_item_half_life_3d"].window == "all"
    own = listed["title_words"], listed["anchor_hour"]
    assert [(one.entity, one.meaning) for one in own] == [
        ("item", "words of the title, in lower case"), ("context", "hour of the anchor event, 0 to 23"),
    ]  # fmt: skip
    assert not {"user_id", "item_id", "level"} & set(listed)


def test_features_of_a_place_are_listed_without_its_key() -> None:
    of_context = {one.name: one for one in list_features(load_scenario("shop")) if one.entity == "context"}

    assert of_context["context_click_per_impression_rate_7d"].window == "7"
    assert of_context["position"].meaning == "the slot it was shown in, from 0"  # that of the example


def test_the_share_of_nulls_is_that_of_the_newest_day(spark: SparkSession, lake: Lake) -> None:
    config = load_scenario("taobao")
    last = DeclaredFeature(entity="user", measure="last_n", of="item", length=2, events=("purchase",))
    features = config.features.model_copy(update={"declared": (*config.features.declared, last)})
    config = config.model_copy(update={"features": features})
    table = declared_tables(config.features, of_users=True)["user"]
    days = [date(2017, 12, 1), date(2017, 12, 2), date(2017, 12, 2)]
    rows = spark.createDataFrame(
        [(day, f"u{number}") for number, day in enumerate(days)], "ds date, user_id string"
    )
    intervals = {"user_purchase_interval": F.when(F.col("user_id") == "u1", 2.0)}
    empty = {name: F.lit(0) for name in table.column_names if name not in {"ds", "user_id"}}
    of_u2 = F.when(F.col("user_id") == "u2", F.array(F.lit(None), F.lit("i"), F.lit(None)))
    lists = {"user_purchase_item_last_2": of_u2.cast("array<string>")}
    lake.replace_days(rows.withColumns({**empty, **intervals, **lists}), table, (days[0], days[-1]))

    shares = {feature.name: feature.null_share for feature in list_features(config, lake)}

    assert shares["user_purchase_interval"] == pytest.approx(0.5)
    assert shares["user_purchase_item_last_2"] == pytest.approx(0.5)  # nulls within a list do not count
    assert shares["user_cart_count_1d"] == 0.0
    assert shares["item_cart_count_1d"] is None
