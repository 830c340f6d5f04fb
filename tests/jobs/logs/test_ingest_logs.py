import shutil
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.lake.buckets import buckets_of
from jobs.lake.lake import Lake, local_path
from jobs.logs.ingest_logs import ingest_logs
from jobs.logs.tables import EVENTS, INGEST_COUNTS, ITEMS, PROMOTIONS, QUARANTINE
from jobs.stage import make_run
from tests.small_log import FIRST_DAY, midnight, write_scenario

DAY = FIRST_DAY + timedelta(days=9)
NOON = midnight(DAY) + timedelta(hours=12)
GOOD_LINE = {
    "household_id": 1, "store_id": 1, "basket_id": 99, "product_id": 3, "quantity": 2, "sales_value": 4.0,
    "retail_disc": 0.5, "coupon_disc": 0.0, "coupon_match_disc": 0.0, "week": 3,
    "transaction_timestamp": NOON,
}  # fmt: skip

Lines = Sequence[dict[str, Any]]
WriteLog = Callable[[Lines], Path]

FAR_FUTURE = midnight(date(2117, 1, 1))


@pytest.fixture
def write_log(small_log: Path, tmp_path: Path) -> WriteLog:
    """Writes a log with the given order lines, else like the small log, and its scenario."""

    def write(lines: Lines) -> Path:
        folder = tmp_path / "log"
        shutil.copytree(small_log, folder, dirs_exist_ok=True)
        schema = pq.read_schema(small_log / "transactions.parquet")
        pq.write_table(pa.Table.from_pylist(list(lines), schema), folder / "transactions.parquet")
        return write_scenario(tmp_path / "small.yaml", folder)

    return write


@pytest.fixture
def ingest(spark: SparkSession, lake: Lake) -> Callable[[Path, date], None]:
    def run(scenario: Path, day: date = DAY) -> None:
        ingest_logs(make_run(str(scenario), day), lake)

    return run


def test_bad_rows_are_quarantined_duplicates_dropped_and_the_books_reconcile(
    write_log: WriteLog, ingest: Callable[[Path, date], None], lake: Lake
) -> None:
    bad: list[dict[str, Any]] = [
        {"household_id": None}, {"product_id": None}, {"sales_value": -1.0}, {"quantity": None},
        {"transaction_timestamp": None}, {"transaction_timestamp": FAR_FUTURE},
    ]  # fmt: skip
    lines = [
        GOOD_LINE,
        GOOD_LINE,
        {**GOOD_LINE, "product_id": 4},
        *({**GOOD_LINE, **change} for change in bad),
    ]

    ingest(write_log(lines), DAY)

    books = lake.read_arrow(INGEST_COUNTS)
    of_lines = books.filter(pc.field("source") == "transactions.parquet")
    totals = {name: pc.sum(of_lines[name]).as_py() for name in ("read", "kept", "duplicate", "quarantined")}
    assert totals == {"read": 9, "kept": 2, "duplicate": 1, "quarantined": 6}
    purchases = lake.read_arrow(EVENTS).filter(pc.field("event_type") == "purchase").to_pylist()
    assert sorted((row["item_id"], row["quantity"], row["value"], row["price"]) for row in purchases) == [
        ("3", 2, 400, 225),
        ("4", 2, 400, 225),
    ]
    assert set(lake.read_arrow(QUARANTINE)["reason"].to_pylist()) == {
        "user_id is null", "item_id is null", "price is negative", "quantity is null", "event_time is null",
        "event_time in the future: after the last day of the log",
    }  # fmt: skip


def test_a_day_that_became_empty_loses_its_rows(
    write_log: WriteLog, ingest: Callable[[Path, date], None], lake: Lake
) -> None:
    yesterday = {**GOOD_LINE, "transaction_timestamp": NOON - timedelta(days=1)}
    ingest(write_log([GOOD_LINE, yesterday]), DAY)

    ingest(write_log([yesterday]), DAY)

    purchases = lake.read_arrow(EVENTS).filter(pc.field("event_type") == "purchase")
    assert purchases["ds"].to_pylist() == [DAY - timedelta(days=1)]


def test_a_day_has_as_many_files_as_its_users_are_cut_into(
    small_log: Path, tmp_path: Path, ingest: Callable[[Path, date], None], lake: Lake
) -> None:
    scenario = write_scenario(tmp_path / "cut.yaml", small_log, features={"user_files_per_day": 3})

    ingest(scenario, DAY)

    buckets = {}
    for path in map(local_path, lake.files(EVENTS)):
        of_users = buckets_of(pq.read_table(path)["user_id"], 3)
        buckets[path] = {*of_users.tolist()}
    assert all(len(of_file) == 1 for of_file in buckets.values())
    assert set().union(*buckets.values()) == {0, 1, 2}


def test_night_by_night_in_any_order_gives_the_same_events_as_in_bulk(
    small_scenario: Path, ingest: Callable[[Path, date], None], lake: Lake
) -> None:
    ingest(small_scenario, DAY - timedelta(days=2))
    first_night = lake.read_arrow(EVENTS)
    for offset in (0, -1):
        ingest(small_scenario, DAY + timedelta(days=offset))
    by_night = lake.read_arrow(EVENTS)

    lake.catalog.drop_table(("small", EVENTS.name))
    ingest(small_scenario, DAY)

    keys = [("ds", "ascending"), ("event_id", "ascending")]
    assert max(first_night["ds"].to_pylist()) == DAY - timedelta(days=2)
    assert by_night.sort_by(keys).equals(lake.read_arrow(EVENTS).sort_by(keys))


def test_the_catalogue_has_titles_and_paths_and_promotions_a_validity(
    small_scenario: Path, ingest: Callable[[Path, date], None], lake: Lake
) -> None:
    ingest(small_scenario, DAY)

    items = {row["item_id"]: row for row in lake.read_arrow(ITEMS).to_pylist()}
    assert items["1"]["category_path"] == ["PRODUCE", "PRODUCE 1", "PRODUCE 1:1"]
    assert items["1"]["title"] == "Produce 1:1, 12 Oz"
    assert items["50"]["category_path"] == ["GROCERY"]
    placements = lake.read_arrow(PROMOTIONS).filter(pc.field("kind") == "placement").to_pylist()
    weeks = {row["promotion_id"]: (row["valid_from"], row["valid_to"]) for row in placements}
    assert weeks["week-2"] == (date(2017, 1, 2), date(2017, 1, 8))
    assert max(row["valid_from"] for row in placements) <= DAY + timedelta(days=7)
