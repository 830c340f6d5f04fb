from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig, load_runtime, load_scenario
from jobs.features.build_tiles import (
    build_event_days,
    build_tiles,
    find_first_purchases,
    make_item_days,
    make_user_days,
    make_user_item_days,
)
from jobs.features.config import DeclaredFeature
from jobs.features.event_tiles import event_days, make_context_days
from jobs.features.tables import USER_DAYS
from jobs.lake.buckets import buckets_of
from jobs.lake.lake import Lake, local_path
from jobs.logs.tables import EVENTS
from jobs.stage import Run, make_run
from mtl_model.data.config import IdField
from tests.jobs.features.generated_logs import DAYS, frame, random_logs, scenario_with
from tests.jobs.features.tiles import make_event_days
from tests.small_log import FIRST_DAY

DAY = date(2017, 3, 1)
EVENT = {
    "ds": DAY, "user_id": "u", "item_id": "i", "event_type": "purchase", "request_id": "b1",
    "quantity": 1, "value": 100, "discount": 0,
}  # fmt: skip
COUNTS = {"entity": "user", "measure": "count", "events": ["purchase", "rating"], "windows_days": [2]}
_EVENTS = (
    "ds date, user_id string, item_id string, event_type string, request_id string, "
    "quantity long, value long, discount long"
)


def events(spark: SparkSession, *changes: dict[str, Any]) -> DataFrame:
    rows = [tuple({**EVENT, **change}.values()) for change in changes]
    return spark.createDataFrame(rows, _EVENTS)


def rows_of(frame: DataFrame, *names: str) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, frame.select(*names).collect()))


REDEMPTION = {
    "event_type": "coupon_redeem",
    "item_id": None,
    "quantity": None,
    "value": None,
    "discount": None,
}


@pytest.fixture
def shopping(spark: SparkSession) -> DataFrame:
    return events(
        spark,
        {"quantity": 2, "value": 300, "discount": 50},
        {},
        {"item_id": "j", "request_id": "b2", "quantity": 0, "value": 0},
        {"item_id": "k", "user_id": "v", "quantity": 500},
        {"item_id": "k", "user_id": "v", "quantity": 1},
        {**REDEMPTION, "user_id": "w"},
        {"ds": DAY + timedelta(1), "quantity": 5},
    )


def test_pairs_sum_their_lines_and_quantity_0_is_no_purchase(shopping: DataFrame) -> None:
    pairs = make_user_item_days(shopping)

    sums = rows_of(
        pairs, "ds", "user_id", "item_id", "line_count", "quantity", "spend", "discount_line_count"
    )
    assert sums == [
        (DAY, "u", "i", 2, 3, 400, 1), (DAY, "v", "k", 2, 501, 200, 0),
        (DAY + timedelta(1), "u", "i", 1, 5, 100, 0),
    ]  # fmt: skip


def test_a_pair_is_new_on_its_first_day_only(shopping: DataFrame) -> None:
    firsts = find_first_purchases(make_user_item_days(shopping))

    assert rows_of(firsts, "user_id", "item_id", "ds") == [("u", "i", DAY), ("v", "k", DAY)]


def test_user_days_count_baskets_redemptions_and_new_items(shopping: DataFrame) -> None:
    days = make_user_days(shopping, find_first_purchases(make_user_item_days(shopping)))

    names = ("user_id", "ds", "basket_count", "line_count", "spend", "redemption_count", "new_item_count")
    assert rows_of(days, *names) == [
        ("u", DAY, 1, 2, 400, 0, 1),
        ("u", DAY + timedelta(1), 1, 1, 100, 0, 0),
        ("v", DAY, 1, 2, 200, 0, 1),
        ("w", DAY, 0, 0, 0, 1, 0),
    ]


def test_item_days_keep_the_largest_line_also_of_items_that_were_not_bought(shopping: DataFrame) -> None:
    pairs = make_user_item_days(shopping)

    days = make_item_days(shopping, pairs, find_first_purchases(pairs))

    names = ("item_id", "ds", "user_count", "line_count", "max_line_quantity", "new_user_count")
    assert rows_of(days, *names) == [
        ("i", DAY, 1, 2, 2, 1), ("i", DAY + timedelta(1), 1, 1, 5, 0), ("j", DAY, 0, 0, 0, 0),
        ("k", DAY, 1, 2, 500, 1),
    ]  # fmt: skip


def test_events_are_summed_by_the_place_where_they_were_shown(spark: SparkSession) -> None:
    scenario = load_scenario("shop")
    prices = tuple(
        DeclaredFeature(entity="context", measure=measure, events=("purchase",), of="price")
        for measure in ("mean", "min", "max")
    )
    features = scenario.features.model_copy(update={"declared": prices})
    types = f"{_EVENTS}, surface string, position int, price long"
    rows = [
        tuple({**EVENT, "surface": "home", "position": 0, "price": 5, **change}.values())
        for change in (
            {}, {"user_id": "v", "price": None}, {"price": 9}, {"position": 1}, {"position": None},
            {"position": None, "quantity": 0}, {"surface": None}, {"event_type": "click"},
            {"ds": DAY + timedelta(1)},
        )
    ]  # fmt: skip

    days = make_context_days(
        spark.createDataFrame(rows, types), scenario.model_copy(update={"features": features})
    )

    names = ["ds", "surface", "position", "event_count"]
    names += [f"price_{of}" for of in ("count", "sum", "min", "max")]
    assert rows_of(days.where("event_type = 'purchase'"), *names) == [
        (DAY, "home", -1, 1, 1, 5, 5, 5),  # a purchase of nothing is none
        (DAY, "home", 0, 3, 2, 14, 5, 9),
        (DAY, "home", 1, 1, 1, 5, 5, 5),
        (DAY + timedelta(1), "home", 0, 1, 1, 5, 5, 5),
    ]


def test_an_empty_day_has_no_tiles(spark: SparkSession) -> None:
    none = spark.createDataFrame([], _EVENTS)
    pairs = make_user_item_days(none)
    firsts = find_first_purchases(pairs)

    assert make_user_days(none, firsts).isEmpty()
    assert make_item_days(none, pairs, firsts).isEmpty()


def test_days_that_one_table_lacks_are_built_again(
    spark: SparkSession, lake: Lake, small_scenario: Path
) -> None:
    """As after a run that died when one of the two tables had been committed."""
    run = make_run(str(small_scenario), FIRST_DAY + timedelta(2), "r")
    bought = [{**EVENT, "ds": FIRST_DAY + timedelta(day), "event_id": str(day)} for day in range(3)]
    types = ("ds date, user_id string, item_id string, event_type string, request_id string, quantity long, "
             "value long, discount long, event_id string")  # fmt: skip
    rows = spark.createDataFrame([tuple(row.values()) for row in bought], types)
    names = [field.name for field in EVENTS.spark_schema() if field.name not in rows.columns]
    nulls = {name: F.lit(None).cast(EVENTS.spark_schema()[name].dataType) for name in names}
    lake.replace_days(rows.withColumns(nulls), EVENTS, (FIRST_DAY, run.date))
    build_tiles(run, lake)
    lake.commit(USER_DAYS, (FIRST_DAY, run.date), [])
    lake.forget_days(USER_DAYS, [(FIRST_DAY, run.date)])

    counts = build_tiles(run, lake)

    assert counts == {"user_item_days": 3, "user_days": 3, "item_days": 3}
    assert lake.read_arrow(USER_DAYS)["ds"].to_pylist() == [row["ds"] for row in bought]


@pytest.fixture
def declared_run(home: Path) -> Run:
    """Users are anchored on every third day, and lie in two files of features; the model reads none."""
    config = {"windows_days": [28], "half_lives_days": [1], "user_files_per_day": 2, "declared": [COUNTS]}
    scenario = scenario_with(FeaturesConfig.model_validate(config))
    anchored = scenario.examples.model_copy(update={"label_window_days": 3})
    model = scenario.model.model_copy(update={"fields": (IdField(kind="id", name="brand"),)})
    scenario = scenario.model_copy(update={"examples": anchored, "model": model})
    return Run(scenario, load_runtime(), DAYS[-1], "run", home)


def test_days_without_events_have_no_tiles_and_are_built(
    spark: SparkSession, lake: Lake, declared_run: Run
) -> None:
    days = (declared_run.scenario.logs.first_day, DAYS[-1])
    lake.replace_days(frame(spark, []), EVENTS, days)

    assert build_event_days(declared_run, lake) == 0
    assert lake.read_arrow(event_days(declared_run.scenario)).num_rows == 0
    assert build_event_days(declared_run, lake) == 0


@pytest.mark.parametrize("num_files", [1, 2, 5])
def test_tiles_lie_in_buckets_of_users_whatever_the_files_of_events(
    spark: SparkSession, lake: Lake, declared_run: Run, num_files: int
) -> None:
    run = declared_run
    rows = frame(spark, [event for log in random_logs(40) for event in log])
    days = (run.scenario.logs.first_day, DAYS[-1])
    lake.replace_days(rows, replace(EVENTS, files_per_day=num_files), days)

    count = build_event_days(run, lake)

    table, order = event_days(run.scenario), [("ds", "ascending")]
    order += [(name, "ascending") for name in table.key]
    expected = make_event_days(rows.where(F.col("ds").between(*days)), run.scenario).toArrow()
    assert lake.read_arrow(table, days).sort_by(order).equals(expected.sort_by(order))
    assert expected.num_rows == count > 0
    assert table.files_per_day == 6
    for path in lake.files(table):
        users = pq.read_table(local_path(path))["user_id"]
        assert {*buckets_of(users, 6).tolist()} == {int(path.rsplit("-", 1)[1].removesuffix(".parquet"))}
        assert users.to_pylist() == sorted(users.to_pylist())
