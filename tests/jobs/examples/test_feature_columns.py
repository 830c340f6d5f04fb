"""Features join by the key within the day's database, one row per pair."""

from datetime import date
from typing import Any, get_args

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig, load_scenario
from jobs.examples.feature_columns import (
    add_user_features,
    feature_column_types,
    item_feature_query,
    user_feature_query,
)
from jobs.features.config import Entity
from jobs.features.tables import (
    category_features,
    declared_tables,
    item_features,
    user_category_features,
    user_features,
    user_item_features,
)
from jobs.lake.columns import Table
from tests.jobs.day_database import TableRows, day_database

DAY = date(2017, 3, 1)  # a Wednesday
CONFIG = load_scenario("grocery").features
WANTED = (
    "user_item_rank", "user_type_rank", "user_department_rank", "user_day_count", "item_rank",
    "type_line_count", "department_line_count", "display_share", "anchor_weekday", "brand",
)  # fmt: skip
_SQL_TYPES = {"string": "VARCHAR", "int": "INTEGER", "long": "BIGINT", "double": "DOUBLE", "date": "DATE"}


def view(table: Table, value: str, *keys: dict[str, Any]) -> TableRows:
    """A feature table whose column `value` counts from 1; all others are null."""
    columns = ", ".join(f"{column.name} {_SQL_TYPES[column.type]}" for column in table.all_columns)
    rows = [
        [{**key, value: number, "ds": DAY}.get(name) for name in table.column_names]
        for number, key in enumerate(keys, start=1)
    ]
    return columns, rows


def feature_views() -> dict[str, TableRows]:
    of_u = {"user_id": "u"}
    category = [
        {"level": "department", "category_id": "D"}, {"level": "category", "category_id": "D / C"},
        {"level": "type", "category_id": "D / C / T"},
    ]  # fmt: skip
    of_category = [{**of_u, **key} for key in category]
    return {
        "users": view(user_features(CONFIG), "user_day_count", of_u),
        "item": view(item_features(CONFIG), "item_rank", {"item_id": "i"}),
        "category": view(category_features(CONFIG), "category_line_count", *category),
        "user_category": view(user_category_features(CONFIG), "user_category_rank", *of_category),
        "user_item": view(user_item_features(CONFIG), "user_item_rank", {**of_u, "item_id": "i"}),
        "promoted": ("item_id VARCHAR, display_share DOUBLE, mailer_share DOUBLE", [("i", 0.5, 0.1)]),
        "item_level": (
            "item_id VARCHAR, department_id VARCHAR, category_id VARCHAR, type_id VARCHAR, brand VARCHAR",
            [("i", "D", "D / C", "D / C / T", "b"), ("bare", None, None, None, None)],
        ),
    }


def test_a_pair_gets_its_features_and_nulls_where_there_are_none() -> None:
    pairs = [("u", "i"), ("u", "bare"), ("new", "i"), ("u", "unknown")]
    database = day_database(**feature_views(), pair=("user_id VARCHAR, item_id VARCHAR", pairs))

    featured = database.sql(item_feature_query("pair", CONFIG, WANTED), params={"day": DAY}).to_arrow_table()

    rows: dict[Any, Any] = {
        (row["user_id"], row["item_id"]): tuple(row[name] for name in WANTED) for row in featured.to_pylist()
    }
    assert rows == {
        ("u", "i"): (1, 3, 1, 1, 1, 3, 1, 0.5, "Wed", "b"),
        ("new", "i"): (None, None, None, None, 1, 3, 1, 0.5, "Wed", "b"),
        ("u", "bare"): (None, None, None, 1, None, None, None, 0.0, "Wed", None),
        ("u", "unknown"): (None, None, None, 1, None, None, None, 0.0, "Wed", None),
    }
    assert featured.num_rows == len(pairs)
    assert set(featured.column_names) == {"user_id", "item_id", *WANTED}  # nothing that was not wanted


def test_users_get_the_wanted_features_of_users_alone() -> None:
    wanted = ["user_day_count", "item_rank", "anchor_weekday"]
    database = day_database(**feature_views(), person=("user_id VARCHAR", [("u",), ("new",)]))

    featured = database.sql(
        user_feature_query("person", CONFIG, wanted), params={"day": DAY}
    ).to_arrow_table()

    assert featured.column_names == ["user_id", "user_day_count", "anchor_weekday"]
    assert {(row["user_id"], row["user_day_count"]) for row in featured.to_pylist()} == {
        ("u", 1),
        ("new", None),
    }


def test_campaign_rows_get_the_user_features_of_their_own_day(spark: SparkSession) -> None:
    known = spark.createDataFrame(
        [(DAY, "u", 3), (date(2017, 2, 1), "u", 9)], "ds date, user_id string, user_day_count long"
    )
    missing = [name for name in user_features(CONFIG).column_names if name not in known.columns]
    users = known.withColumns({name: F.lit(None).cast("double") for name in missing})
    rows = spark.createDataFrame([(DAY, "u"), (DAY, "new")], "ds date, user_id string")

    featured = add_user_features(rows, users, CONFIG, ["user_day_count", "item_rank"])

    assert featured.columns == ["ds", "user_id", "user_day_count", "anchor_weekday"]
    assert {tuple(row) for row in featured.collect()} == {(DAY, "u", 3, "Wed"), (DAY, "new", None, "Wed")}


def test_every_field_of_the_scenario_has_a_type() -> None:
    types = feature_column_types(CONFIG)

    assert set(load_scenario("grocery").model.columns) <= set(types)
    assert set(WANTED) <= set(types)


def test_declared_features_of_every_entity_join_beside_the_built_in_ones() -> None:
    declared = [{"entity": entity, "measure": "count", "events": ["cart"]} for entity in get_args(Entity)]
    config = FeaturesConfig.model_validate({**CONFIG.model_dump(), "declared": declared})
    tables = {**declared_tables(config, of_users=True), **declared_tables(config, of_users=False)}
    user, item, kind = {"user_id": "u"}, {"item_id": "i"}, {"level": "type", "category_id": "D / C / T"}
    keys: dict[Entity, dict[str, Any]] = {
        "user": user,
        "item": item,
        "category": kind,
        "user_item": user | item,
        "user_category": user | kind,
        "brand": {"brand": "b"},
        "user_brand": user | {"brand": "b"},
        "context": {"surface": "home", "position": 0},
    }
    views = {
        f"{entity}_event": view(table, f"{entity}_cart_count", keys[entity])
        for entity, table in tables.items()
    }
    database = day_database(
        **feature_views(),
        **views,
        pair=(
            "user_id VARCHAR, item_id VARCHAR, surface VARCHAR, position INTEGER",
            [("u", "i", "home", 0), ("v", "bare", "home", 1)],
        ),
    )
    names = ("user", "item", "user_item", "user_type", "type", "brand", "user_brand", "context")
    wanted = [f"{name}_cart_count" for name in names]

    rows = database.sql(item_feature_query("pair", config, wanted)).to_arrow_table().to_pylist()

    found = {row["user_id"]: [row[name] for name in wanted] for row in rows}
    assert found == {"u": [1] * 8, "v": [None] * 8}
    assert set(wanted) < set(feature_column_types(config))


@pytest.mark.parametrize(
    ("surface", "position", "count"),
    [
        pytest.param("home", 0, 1, id="the first place"),
        pytest.param("home", 1, 2, id="another place of the surface"),
        pytest.param("ads", 0, None, id="a place that had no event"),
        pytest.param("home", None, 3, id="events without a position have a row of their own"),
        pytest.param(None, 0, None, id="events without a surface have none"),
    ],
)
def test_an_anchor_event_has_the_features_of_its_place(
    surface: str | None, position: int | None, count: int | None
) -> None:
    declared = [{"entity": "context", "measure": "count", "events": ["click"]}]
    config = FeaturesConfig.model_validate({**CONFIG.model_dump(), "declared": declared})
    keys = [{"surface": "home", "position": position} for position in (0, 1, -1)]
    table = declared_tables(config, of_users=False)["context"]
    columns = "user_id VARCHAR, item_id VARCHAR, surface VARCHAR, position INTEGER"
    shown = columns, [("u", "i", surface, position)]
    database = day_database(
        **feature_views(), context_event=view(table, "context_click_count", *keys), shown=shown
    )

    rows = database.sql(item_feature_query("shown", config, ["context_click_count"])).to_arrow_table()

    assert rows["context_click_count"].to_pylist() == [count]
    assert rows["position"].to_pylist() == [position]  # that of the example stays what it is


def test_a_pair_is_as_close_as_what_is_got_together_and_0_without_it() -> None:
    last = {"entity": "user", "measure": "last_n", "of": "item", "events": ["cart"], "length": 2}
    rules = {"events": ["cart"], "window_days": 7, "per_item": 5, "min_together": 1}
    config = FeaturesConfig.model_validate({**CONFIG.model_dump(), "declared": [last], "co_purchases": rules})
    database = day_database(
        **feature_views(),
        co_purchased=("user_id VARCHAR, item_id VARCHAR, user_item_co_purchase DOUBLE", [("u", "i", 0.25)]),
        pair=("user_id VARCHAR, item_id VARCHAR", [("u", "i"), ("u", "bare"), ("v", "i")]),
    )

    rows = database.sql(item_feature_query("pair", config, ["user_item_co_purchase"])).fetchall()

    assert sorted(rows) == [("u", "bare", 0.0), ("u", "i", 0.25), ("v", "i", 0.0)]
