from datetime import date
from typing import Any, get_args

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pyspark.sql import SparkSession

from jobs.config import FeaturesConfig
from jobs.features.config import (
    COUNTED,
    LISTED,
    OF_CONTEXTS,
    OF_EVENTS,
    OF_PRICE_QUANTILES,
    OF_VALUES,
    PARENTS,
    Entity,
)
from jobs.features.declared import declared_columns, horizon_days
from jobs.features.declared_windows import declared_frame, declared_query, features_as_of, place_events
from jobs.features.shares import add_parents, share_finisher
from jobs.features.tables import declared_tables
from tests.jobs.features.declared_oracle import Event, declared_rows
from tests.jobs.features.generated_logs import (
    DAYS,
    NUM_DAYS,
    TYPES,
    drawn_logs,
    frame,
    levels_of,
    random_logs,
    scenario_with,
)
from tests.jobs.features.tiles import make_event_days, make_tiles_of

ENTITIES: tuple[Entity, ...] = get_args(Entity)
_VALUES = ("value", "rating")


def every_feature(entity: Entity) -> list[dict[str, Any]]:
    """All measures of an entity, over one type and over two, in short windows and over all days."""
    of_all: list[dict[str, Any]] = [
        {"measure": "count", "windows_days": [1, 3]},
        {"measure": "count"},
        {"measure": "time_since"},
        {"measure": "interval"},
        {"measure": "age"},
        {"measure": "due"},
        {"measure": "count", "since": ["cart"]},
        {"measure": "rate", "per": ["cart"], "windows_days": [2]},
        {"measure": "rate", "per": ["cart", "rating"], "prior": {"rate": 0.3, "weight": 5.0}},
        {"measure": "trend", "windows_days": [2, 5]},
    ]
    of_all += [
        {"measure": name, "of": of, "windows_days": [3, 7]} for name in sorted(OF_VALUES) for of in _VALUES
    ]
    of_all += [
        {"measure": "distinct_count", "of": of, "windows_days": [1, 4]} for of in sorted(COUNTED[entity])
    ]
    wholes = PARENTS if entity == "item" else (None,)
    if entity != "user":
        of_all += [
            {"measure": "share", "within": whole, "windows_days": days}
            for whole in wholes
            for days in ([2], [])
        ]
    if entity in OF_PRICE_QUANTILES:
        of_all.append({"measure": "mean", "of": "price_quantile", "windows_days": [3]})
    of_lists = [("top_k", of) for of in LISTED.get(entity, ())]
    if entity.startswith("user"):
        of_lists += [("last_n", of) for of in LISTED[entity] | OF_EVENTS]
    of_all += [
        {"measure": measure, "of": of, "length": length, "windows_days": days}
        for measure, of in sorted(of_lists)
        for length, days in ((2, [3]), (4, []))
    ]
    if entity == "context":
        of_all = [one for one in of_all if one["measure"] in OF_CONTEXTS and "since" not in one]
    return [
        {**one, "entity": entity, "events": list(types)} for one in of_all for types in (TYPES[1:2], TYPES)
    ]


CONFIG = FeaturesConfig.model_validate(
    {
        "windows_days": [28],
        "half_lives_days": [1],
        "declared": [one for entity in ENTITIES for one in every_feature(entity)],
    }
)


def rows_by_key(features: pa.Table, entity: Entity, key: tuple[str, ...]) -> dict[tuple[str, ...], list[Any]]:
    names = [column.column.name for column in declared_columns(CONFIG, entity)]
    widest_first = key[::-1] if entity == "category" else key  # level, category_id
    return {
        tuple(row[name] for name in widest_first): [row[name] for name in names]
        for row in features.to_pylist()
    }


@settings(max_examples=3)
@given(logs=drawn_logs(), as_of=st.integers(5, NUM_DAYS + 1))
def test_every_measure_equals_what_the_events_say(
    spark: SparkSession, logs: list[list[Event]], as_of: int
) -> None:
    check_measures(spark, logs, DAYS[as_of])


@pytest.mark.acceptance
def test_every_measure_of_2000_logs_equals_what_the_events_say(spark: SparkSession) -> None:
    check_measures(spark, random_logs(2000), DAYS[7])


def check_measures(spark: SparkSession, logs: list[list[Event]], day: date) -> None:
    events = [event for log in logs for event in log]
    levels = levels_of(spark, events)

    rows = frame(spark, events).repartition(3)
    placed = place_events(make_event_days(rows, scenario_with(CONFIG)), levels, 1, 1).toArrow()

    for entity, table in declared_tables(CONFIG, of_users=True).items():
        query = {table.name: declared_query(CONFIG, entity, table)}
        for _, _, found in features_as_of(placed, query, [day]):
            check(found, entity, table.key, logs, day)
    for entity, table in declared_tables(CONFIG, of_users=False).items():
        tiles = make_tiles_of(entity, rows, scenario_with(CONFIG))
        counts = add_parents(declared_frame(tiles, levels, entity, CONFIG, (day, day)), levels, entity)
        finish = share_finisher(CONFIG, entity, table)
        assert finish is not None
        check(finish(counts.toArrow()), entity, table.key, logs, day)


def check(found: pa.Table, entity: Entity, key: tuple[str, ...], logs: list[list[Event]], day: date) -> None:
    """Categories and brands are shared by all cases: their oracle sees one log."""
    features = [feature for feature in CONFIG.declared if feature.entity == entity]
    every = [event for log in logs for event in log]
    parts = [every] if entity in {"item", "category", "brand"} else logs
    expected: dict[tuple[str, ...], list[Any]] = {}
    for part in parts:
        expected |= declared_rows(part, features, entity, day)
    assert rows_by_key(found, entity, key) == expected
    assert found.num_rows == len(expected)


def declared(**feature: Any) -> FeaturesConfig:
    one = {"entity": "user", "measure": "count", "events": ["cart"], **feature}
    return FeaturesConfig.model_validate({"windows_days": [28], "half_lives_days": [1], "declared": [one]})


@pytest.mark.parametrize(
    ("feature", "name"),
    [
        ({"windows_days": [7]}, "user_cart_count_7d"),
        ({"events": ["cart", "favorite"]}, "user_cart_or_favorite_count"),
        ({"measure": "sum", "of": "value", "windows_days": [7]}, "user_cart_value_sum_7d"),
        ({"measure": "distinct_count", "of": "item"}, "user_cart_distinct_item_count"),
        ({"measure": "rate", "per": ["click"]}, "user_cart_per_click_rate"),
        ({"measure": "trend", "windows_days": [1, 7]}, "user_cart_trend_1d_7d"),
        ({"entity": "user_item", "measure": "time_since"}, "user_item_cart_time_since"),
        ({"entity": "item", "measure": "share", "within": "brand"}, "item_cart_share_in_brand"),
        ({"measure": "top_k", "of": "type", "length": 3, "windows_days": [7]}, "user_cart_type_top_3_7d"),
        ({"measure": "last_n", "of": "item", "length": 20}, "user_cart_item_last_20"),
        ({"entity": "user_item", "since": ["click"]}, "user_item_cart_since_click_count"),
        ({"entity": "context", "windows_days": [7]}, "context_cart_count_7d"),
    ],
)
def test_a_name_says_entity_events_measure_and_window(feature: dict[str, Any], name: str) -> None:
    config = declared(**feature)

    columns = declared_columns(config, config.declared[0].entity)

    assert [column.column.name for column in columns] == [name]


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"measure": "sum"}, "sum of user needs one of"),
        ({"of": "value"}, "count of user needs no `of`"),
        ({"measure": "distinct_count", "of": "user"}, "distinct_count of user needs one of"),
        ({"measure": "rate"}, "a rate needs `per`"),
        ({"prior": {"rate": 0.1, "weight": 1.0}}, "belongs to a rate"),
        ({"measure": "trend", "windows_days": [7]}, "between two windows_days"),
        ({"measure": "interval", "windows_days": [7]}, "all days before"),
        ({"measure": "share"}, "a user is no part of anything"),
        ({"entity": "item", "measure": "share"}, "needs `within`, one of"),
        ({"entity": "brand", "measure": "share", "within": "type"}, "share of item, and nothing else"),
        ({"windows_days": [7, 7]}, "must rise"),
        ({"since": ["click"], "windows_days": [7]}, "count since looks at all days before"),
        ({"measure": "age", "since": ["click"]}, "age knows no `since`"),
        ({"entity": "item", "measure": "mean", "of": "price_quantile"}, "mean of item needs one of"),
        ({"measure": "last_n", "of": "item"}, "need a `length`"),
        ({"length": 3}, "need a `length`"),
        ({"measure": "top_k", "of": "days_ago", "length": 3}, "top_k of user needs one of"),
        ({"entity": "user_item", "measure": "top_k", "of": "item", "length": 3}, "has no top_k"),
        ({"entity": "item", "measure": "last_n", "of": "days_ago", "length": 3}, "has no last_n"),
        ({"entity": "brand", "measure": "last_n", "of": "item", "length": 3}, "has no last_n"),
        (
            {"entity": "category", "measure": "top_k", "of": "brand", "length": 3},
            "top_k of category needs one of",
        ),
        ({"entity": "context", "measure": "time_since"}, "context has no time_since: a place has one of"),
        ({"entity": "context", "since": ["click"]}, "context has no count since"),
        ({"entity": "context", "measure": "distinct_count", "of": "user"}, "context has no distinct_count"),
        ({"entity": "context", "measure": "top_k", "of": "item", "length": 3}, "context has no top_k"),
    ],
)
def test_what_means_nothing_is_refused(feature: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        declared(**feature)


def test_a_feature_declared_twice_is_named() -> None:
    config = declared()
    twice = config.model_copy(update={"declared": config.declared * 2})

    with pytest.raises(ValueError, match=r"makes columns twice: \['user_cart_count'\]"):
        declared_columns(twice, "user")


def test_bounded_windows_look_no_further_back_than_the_longest() -> None:
    config = declared(windows_days=[1, 3])
    table = declared_tables(config, of_users=True)["user"]
    tiles = pa.table(
        {
            "user_id": ["in", "edge", "out", "today"],
            "event_type": ["cart"] * 4,
            "event_count": [2, 1, 1, 1],
            "ds": [DAYS[4], DAYS[2], DAYS[1], DAYS[5]],
        }
    )

    query = {table.name: declared_query(config, "user", table)}
    ((_, _, found),) = features_as_of(tiles, query, [DAYS[5]])

    assert horizon_days(config) == 3
    rows = [
        (row["user_id"], row["user_cart_count_1d"], row["user_cart_count_3d"]) for row in found.to_pylist()
    ]
    assert rows == [("edge", 0, 1), ("in", 2, 2)]


def test_the_newest_items_of_a_user_are_kept_up_to_the_quota() -> None:
    config = declared(entity="user_item")
    table = declared_tables(config, of_users=True)["user_item"]
    names, days = ["old", "newest", "twice", "once", None], [0, 3, 2, 2, 3]
    tiles = pa.table(
        {
            "user_id": ["u"] * 5,
            "item_id": names,
            "event_type": ["cart"] * 5,
            "event_count": [9, 1, 2, 1, 1],
            "ds": [DAYS[day] for day in days],
        }
    )

    query = {table.name: declared_query(config, "user_item", table, top=3)}
    ((_, _, found),) = features_as_of(tiles, query, [DAYS[4]])

    ranks = {row["item_id"]: row["user_item_event_rank"] for row in found.to_pylist()}
    assert ranks == {"newest": 1, "twice": 2, "once": 3}
