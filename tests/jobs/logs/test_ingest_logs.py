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

from jobs.config import LogsConfig
from jobs.lake.lake import Lake
from jobs.logs.ingest_logs import add_reason, ingest_logs
from jobs.logs.source_files import read_source
from jobs.logs.tables import EVENTS, INGEST_COUNTS, ITEMS, PROMOTIONS, QUARANTINE
from jobs.stage import make_run
from tests.small_log import FIRST_DAY, midnight, write_scenario

DAY = FIRST_DAY + timedelta(days=9)
NOON = midnight(DAY) + timedelta(hours=12)
LOGS = LogsConfig(
    source="completejourney", first_day=FIRST_DAY, last_day=date(2017, 5, 30), time_zone="UTC"
)  # fmt: skip
GOOD_LINE = {
    "household_id": 1, "store_id": 1, "basket_id": 99, "product_id": 3, "quantity": 2, "sales_value": 4.0,
    "retail_disc": 0.5, "coupon_disc": 0.0, "coupon_match_disc": 0.0, "week": 3,
    "transaction_timestamp": NOON,
}  # fmt: skip

Lines = Sequence[dict[str, Any]]
WriteLog = Callable[[Lines], Path]

DAY_AFTER = LOGS.last_day + timedelta(days=1)
FAR_FUTURE = midnight(date(2117, 1, 1))
INSTANT = timedelta(microseconds=1)


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


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({}, None, id="a good line"),
        pytest.param({"quantity": 0}, None, id="quantity 0 is an event, though no purchase"),
        pytest.param({"event_time": None}, "event_time is null", id="no time"),
        pytest.param({"user_id": None}, "user_id is null", id="no user"),
        pytest.param({"item_id": None}, "item_id is null", id="no item"),
        pytest.param({"quantity": None}, "quantity is null", id="no quantity"),
        pytest.param({"quantity": -1}, "quantity is negative", id="negative quantity"),
        pytest.param({"value": -1}, "price is negative", id="negative price"),
        pytest.param({"discount": -1}, "discount is negative", id="negative discount"),
        pytest.param({"event_type": "coupon_redeem"}, "coupon_id is null", id="a redemption without coupon"),
        pytest.param({"event_time": FAR_FUTURE}, "event_time in the future", id="far future"),
        pytest.param({"event_time": midnight(DAY_AFTER + timedelta(1))}, "in the future", id="two days on"),
        pytest.param({"event_time": midnight(DAY_AFTER)}, None, id="the day after has begun"),
        pytest.param({"event_time": midnight(FIRST_DAY)}, None, id="the first instant of the log"),
        pytest.param(
            {"event_time": midnight(FIRST_DAY) - timedelta(microseconds=1)},
            "before the first day",
            id="the past",
        ),
    ],
)
def test_a_row_that_breaks_the_contract_has_a_reason(
    spark: SparkSession, change: dict[str, object], reason: str | None
) -> None:
    good = {"event_time": NOON, "user_id": "u", "item_id": "i", "event_type": "purchase", "coupon_id": None,
            "quantity": 1, "value": 100, "discount": 0}  # fmt: skip
    schema = (
        "event_time timestamp, user_id string, item_id string, event_type string, coupon_id string, "
        "quantity long, value long, discount long"
    )
    row = {**good, **change}

    judged = add_reason(spark.createDataFrame([tuple(row.values())], schema), LOGS).first()

    assert judged is not None
    assert judged.reason == reason if reason is None else reason in judged.reason
    assert FIRST_DAY <= judged.ds <= LOGS.last_day + timedelta(days=1)


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


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            lambda table: table.drop_columns(["name"]), r"missing columns \['name'\]", id="column missing"
        ),
        pytest.param(
            lambda table: table.set_column(0, "id", pa.array(["1"])),
            "column id should be of type integer, found string",
            id="wrong type",
        ),
    ],
)
def test_a_file_of_another_shape_is_refused(
    spark: SparkSession, tmp_path: Path, spoil: Callable[[pa.Table], pa.Table], message: str
) -> None:
    file = tmp_path / "rows.parquet"
    pq.write_table(spoil(pa.table({"id": [1], "name": ["a"]})), file)

    with pytest.raises(ValueError, match=f"rows.parquet: {message}"):
        read_source(spark, file, {"id": "integer", "name": "string"})


@pytest.mark.parametrize("kept", [0, 3, 200], ids=["empty", "a few bytes", "cut in the middle"])
def test_a_truncated_file_is_refused_by_name(spark: SparkSession, tmp_path: Path, kept: int) -> None:
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": list(range(1000))}), file)
    file.write_bytes(file.read_bytes()[:kept])

    with pytest.raises(ValueError, match=r"rows.parquet: not a whole Parquet file"):
        read_source(spark, file, {"id": "integer"})


def test_a_missing_file_is_named_with_the_setting_to_look_at(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rows.parquet: no such file.*logs.path"):
        read_source(spark, tmp_path / "rows.parquet", {"id": "integer"})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_stamps_of_any_unit_are_read_as_utc(spark: SparkSession, tmp_path: Path, unit: str) -> None:
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"at": pa.array([NOON], pa.timestamp(unit))}), file)

    row = read_source(spark, file, {"at": "timestamp"}).selectExpr("CAST(at AS STRING) AS at").first()

    assert row is not None
    assert row.at == "2017-01-10 12:00:00"
