import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.logs.config import MappedLogs
from jobs.logs.judge_events import judge, select_events
from jobs.logs.mapped_source import MappedSource
from tests.jobs.logs.mapped_log import (
    FIRST_DAY,
    LAST_DAY,
    NOON,
    ROW,
    mapped_logs,
    mapping,
    write_csv,
    write_jsonl,
    write_parquet,
    write_text,
)

EVENT = ("u", "i", "purchase", NOON * 1_000_000, 29, 2, 58)
FIELDS = ("user_id", "item_id", "event_type", "time", "price", "quantity", "value")


def read(spark: SparkSession, logs: MappedLogs, source: MappedSource | None = None) -> DataFrame:
    """All rows of a log, judged, with `time` in microseconds."""
    rows = (source or MappedSource(logs)).read_events(spark, (FIRST_DAY, LAST_DAY), LAST_DAY)
    return judge(rows, logs, LAST_DAY).withColumn("time", F.unix_micros("event_time"))


def good(rows: DataFrame) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, rows.where("reason IS NULL").select(*FIELDS).collect()))


def reasons(rows: DataFrame) -> list[str]:
    return sorted(row.reason for row in rows.where("reason IS NOT NULL").collect())


TYPED = {**ROW, "price": 0.29, "quantity": 2}
NESTED = {"ts": NOON, "user": {"id": "u"}, "item": "i", "action": "buy", "price": 0.29, "quantity": 2}


@pytest.mark.parametrize(
    ("form", "name", "write"),
    [
        pytest.param({}, "events.parquet", lambda file: write_parquet(file, [TYPED]), id="parquet"),
        pytest.param({}, "events.csv", lambda file: write_csv(file, [ROW]), id="csv"),
        pytest.param({}, "events.csv.gz", lambda file: write_csv(file, [ROW]), id="csv, gzip"),
        pytest.param({}, "events.csv.zst", lambda file: write_csv(file, [ROW]), id="csv, zstd"),
        pytest.param({"delimiter": "\t"}, "e.csv", lambda file: write_csv(file, [ROW], "\t"), id="tabs"),
        pytest.param({"delimiter": "::"}, "e.csv", lambda file: write_csv(file, [ROW], "::"), id="two"),
        pytest.param(
            {"columns": list(ROW)}, "e.csv", lambda file: write_csv(file, [ROW], has_header=False), id="bare"
        ),
        pytest.param({}, "events.jsonl", lambda file: write_jsonl(file, [TYPED]), id="json lines"),
        pytest.param({}, "events.jsonl.gz", lambda file: write_jsonl(file, [TYPED]), id="json lines, gzip"),
        pytest.param({}, "events.jsonl.zst", lambda file: write_jsonl(file, [TYPED]), id="json lines, zstd"),
    ],
)  # fmt: skip
def test_each_format_gives_the_same_event(
    spark: SparkSession, tmp_path: Path, form: dict[str, Any], name: str, write: Callable[[Path], Path]
) -> None:
    write(tmp_path / name)
    kind = next(kind for kind in ("parquet", "csv", "jsonl") if kind in name)

    rows = read(spark, mapped_logs(tmp_path, mapping(files={"format": kind, "path": name, **form})))

    assert good(rows) == [EVENT]
    assert reasons(rows) == []


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_dots_lead_into_nested_columns(spark: SparkSession, tmp_path: Path, form: str) -> None:
    file = tmp_path / "events"
    write_parquet(file, [NESTED]) if form == "parquet" else write_jsonl(file, [NESTED])

    rows = read(
        spark, mapped_logs(tmp_path, mapping(user_id="user.id", files={"format": form, "path": "events"}))
    )

    assert good(rows) == [EVENT]


def test_names_with_odd_characters_are_read_and_told(spark: SparkSession, tmp_path: Path) -> None:
    names = ["odd [1] {2}/other*.csv", "odd [1] {2}/é #%20?.csv"]
    for name, price in zip(names, ("0.29", "-1"), strict=True):
        write_csv(tmp_path / name, [{**ROW, "price": price}])

    rows = read(spark, mapped_logs(tmp_path, mapping(files={"format": "csv", "path": "odd *"})))

    assert sorted((row.file, row.reason) for row in rows.collect()) == [
        (names[0], None), (names[1], "price is negative")
    ]  # fmt: skip


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"ts": ""}, "event_time is null"),
    ({"ts": "soon"}, "event_time is no time"),
    ({"ts": NOON * 1000}, "event_time is no time"),
    ({"ts": NOON + 10**9}, "event_time in the future: after the last day of the log"),
    ({"ts": NOON - 10**9}, "event_time before the first day of the log"),
    ({"user": ""}, "user_id is null"),
    ({"item": ""}, "item_id is null"),
    ({"action": ""}, "event_type is null"),
    ({"action": "view"}, "event_type is unknown"),
    ({"action": "purchase"}, "event_type is unknown"),
    ({"price": "-0.01"}, "price is negative"),
    ({"price": "cheap"}, "price is no amount of money"),
    ({"quantity": "-1"}, "quantity is negative"),
    ({"quantity": "1.5"}, "quantity is no whole number"),
    ({"quantity": ""}, "quantity is null"),
    ({"quantity": "2,too many"}, "the line does not fit the file's columns"),
]


def test_each_fault_has_its_reason(spark: SparkSession, tmp_path: Path) -> None:
    faulty = [{**ROW, "user": f"u{n}", **change} for n, (change, _) in enumerate(FAULTS)]
    rows_of_file = [{**row, "unmapped": 1} for row in (ROW, *faulty)]
    write_csv(tmp_path / "events.csv", rows_of_file)

    rows = read(spark, mapped_logs(tmp_path))

    found = {row.row: row.reason for row in rows.where("reason IS NOT NULL").collect()}
    assert good(rows) == [EVENT]
    assert sorted(found.values()) == sorted(reason for _, reason in FAULTS)
    assert any('"price":"cheap"' in text and found[text] == "price is no amount of money" for text in found)


def test_a_line_that_is_no_json_is_quarantined(spark: SparkSession, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "events.jsonl", [TYPED])
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"ts": 1512, "us\n')

    rows = read(spark, mapped_logs(tmp_path, mapping(files={"format": "jsonl", "path": "events.jsonl"})))

    assert good(rows) == [EVENT]
    assert reasons(rows) == ["the line does not fit the file's columns"]


def test_what_is_not_mapped_has_a_meaning(spark: SparkSession, tmp_path: Path) -> None:
    write_csv(tmp_path / "events.csv", [ROW, {**ROW, "action": "fav"}])

    rows = read(spark, mapped_logs(tmp_path, mapping(quantity=None)))
    bare = read(spark, mapped_logs(tmp_path, mapping(quantity=None, price=None)))

    times = NOON * 1_000_000
    favorite = ("u", "i", "favorite", times, 29, None, None)
    assert good(rows) == [favorite, ("u", "i", "purchase", times, 29, 1, 29)]
    assert good(bare)[1] == ("u", "i", "purchase", times, None, 1, None)


def test_literals_context_and_a_day_for_an_undated_log(spark: SparkSession, tmp_path: Path) -> None:
    write_csv(tmp_path / "events.csv", [{"user": "u", "item": "i", "stars": 4.5, "fold": 3, "note": ""}])
    events = {
        "files": {"format": "csv", "path": "events.csv"}, "user_id": "user", "item_id": "item",
        "event_time": {"day": FIRST_DAY}, "event_type": {"value": "rating"}, "surface": {"value": "home"},
        "rating": "stars", "context": {"fold": "fold", "note": "note"},
    }  # fmt: skip

    logs = mapped_logs(tmp_path, events, time_zone="Asia/Shanghai")
    row = select_events(read(spark, logs)).withColumn("at", F.col("event_time").cast("string")).first()

    assert row is not None
    assert (row.ds, row["at"]) == (FIRST_DAY, "2017-11-24 16:00:00")
    assert (row.event_type, row.rating, row.surface, row.context) == ("rating", 4.5, "home", {"fold": "3"})
    assert row.ingested_at == row.event_time


def test_days_are_cut_in_the_time_zone_of_the_log(spark: SparkSession, tmp_path: Path) -> None:
    write_csv(tmp_path / "events.csv", [{**ROW, "ts": NOON + hours * 3600} for hours in (3, 4)])

    rows = read(spark, mapped_logs(tmp_path, time_zone="Asia/Shanghai"))

    assert sorted(str(row.ds) for row in rows.collect()) == ["2017-12-01", "2017-12-02"]


def test_the_id_of_a_row_is_its_own_or_a_hash_of_what_is_mapped(spark: SparkSession, tmp_path: Path) -> None:
    rows = [ROW, ROW, {**ROW, "user": "", "item": "u"}, {**ROW, "user": "u", "item": ""}]
    write_csv(
        tmp_path / "events.csv", [{**row, "id": str(n), "at": n, "other": n} for n, row in enumerate(rows)]
    )

    hashed = read(spark, mapped_logs(tmp_path, mapping(ingested_at={"column": "at", "unit": "seconds"})))
    given = read(spark, mapped_logs(tmp_path, mapping(event_id="id")))

    assert hashed.select("event_id").distinct().count() == 3
    assert sorted(row.event_id for row in given.collect()) == ["0", "1", "2", "3"]


def test_items_and_users_come_from_files_of_their_own(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_text(
        tmp_path / "items.csv",
        'id,path,name,price,year\n1,a > b,"A ""good"" one",0.29,1999\n'
        "2,,,,\n1,z,Z,9,\n,x,x,1,1\n3,a,x,dear,1\n",
    )
    write_parquet(tmp_path / "users.parquet", [{"id": 7, "age": 30, "city": None}])
    items = {
        "files": {"format": "csv", "path": "items.csv"}, "item_id": "id", "title": "name",
        "category_path": {"column": "path", "separator": " > "}, "price": {"column": "price", "decimals": 2},
        "attributes": {"year": "year"}, "brand": {"value": "own"},
    }  # fmt: skip
    users = {
        "files": {"format": "parquet", "path": "users.parquet"},
        "user_id": "id",
        "attributes": {"age": "age", "city": "city"},
    }
    source = MappedSource(mapped_logs(tmp_path, items=items, users=users))

    with caplog.at_level(logging.WARNING):
        catalogue = [tuple(row) for row in source.read_items(spark).sort("item_id").collect()]

    assert catalogue == [
        ("1", ["a", "b"], "own", 29, 'A "good" one', {"year": "1999"}),
        ("2", None, "own", None, None, {}),
    ]
    assert "1 rows are left out: item_id is null" in caplog.text
    assert "1 rows are left out: price is no amount of money" in caplog.text
    assert [tuple(row) for row in source.read_users(spark).collect()] == [("7", {"age": "30"})]


def test_a_log_without_catalogue_or_promotions_has_empty_ones(spark: SparkSession, tmp_path: Path) -> None:
    source = MappedSource(mapped_logs(tmp_path))

    frames = [
        source.read_items(spark), source.read_users(spark), source.read_promotions(spark),
        source.read_campaign_members(spark),
    ]  # fmt: skip

    assert all(frame.isEmpty() for frame in frames)


def test_the_catalogue_has_a_version_that_changes_with_its_files(tmp_path: Path) -> None:
    items = {"files": {"format": "csv", "path": "items.csv"}, "item_id": "id"}
    source = MappedSource(mapped_logs(tmp_path, items=items))
    write_text(tmp_path / "items.csv", "id\n1\n")
    before = source.catalogue_version()

    write_text(tmp_path / "items.csv", "id\n1\n2\n")

    assert source.catalogue_version() != before


STAMPS = [
    (pa.timestamp("s"), NOON), (pa.timestamp("ms"), NOON * 10**3), (pa.timestamp("us"), NOON * 10**6),
    (pa.timestamp("ns"), NOON * 10**9),
]  # fmt: skip


@pytest.mark.parametrize("zone", [None, "UTC"], ids=["wall clock", "instant"])
def test_stamps_of_any_unit_are_one_kind(spark: SparkSession, tmp_path: Path, zone: str | None) -> None:
    for type_, count in STAMPS:
        stamp = pa.array([count]).cast(pa.timestamp(type_.unit, zone))
        table = pa.table({"ts": stamp, "user": ["u"], "item": ["i"], "action": ["buy"]})
        write_parquet(tmp_path / "log" / f"{type_.unit}.parquet", table.to_pylist(), table.schema)
    events = mapping(
        files={"format": "parquet", "path": "log"}, event_time={"column": "ts", "time_zone": "Asia/Shanghai"},
        price=None, quantity=None,
    )  # fmt: skip

    rows = read(spark, mapped_logs(tmp_path, events))

    shift = 0 if zone else 8 * 3600
    assert {row.time for row in rows.collect()} == {(NOON - shift) * 10**6}
    assert rows.count() == len(STAMPS)
