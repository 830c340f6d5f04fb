import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.logs.ingest_logs import naming_unreadable_files
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
)

TABLE = pa.table({"ts": [NOON], "user": pa.array([7], pa.int32()), "item": ["i"], "action": ["buy"],
                  "price": pa.array([0.29], pa.float32()), "quantity": [2], "other": [1]})  # fmt: skip
EVENTS = mapping(files={"format": "parquet", "path": "log"})
TYPES = {
    "user": pa.int64(), "item": pa.large_string(), "action": pa.dictionary(pa.int32(), pa.string()),
}  # fmt: skip


def retyped(table: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    return table.cast(pa.schema([pa.field(f.name, types.get(f.name, f.type)) for f in table.schema]))


def read(spark: SparkSession, folder: Path, events: dict[str, Any], known: Any = None) -> MappedSource:
    source = MappedSource(mapped_logs(folder, events), known or {})
    source.read_events(spark, (FIRST_DAY, LAST_DAY), LAST_DAY)
    return source


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    pq.write_table(TABLE, tmp_path / "log" / "1.parquet")
    return tmp_path


def test_wider_types_of_one_kind_are_read_side_by_side(spark: SparkSession, log: Path) -> None:
    wider = retyped(TABLE, TYPES).set_column(4, "price", pa.array([0.29], pa.float64()))
    pq.write_table(wider, log / "log" / "2.parquet")
    source = MappedSource(mapped_logs(log, EVENTS))

    rows = source.read_events(spark, (FIRST_DAY, LAST_DAY), LAST_DAY).collect()

    assert {(row.user_id, row.item_id, row.event_type, row.price) for row in rows} == {
        ("7", "i", "purchase", 29)
    }
    assert len({row.event_id for row in rows}) == 1  # so that a row delivered in both types is a duplicate


def test_a_new_column_is_ignored_with_one_line(
    spark: SparkSession, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = read(spark, log, EVENTS).found
    pq.write_table(TABLE.append_column("utm", pa.array(["x"])), log / "log" / "2.parquet")

    with caplog.at_level(logging.INFO):
        later = read(spark, log, EVENTS, known)
        read(spark, log, EVENTS, later.found)

    told = [message for record in caplog.records if "new columns" in (message := record.getMessage())]
    assert told == ["log: new columns utm are ignored: no mapping names them"]


def test_a_column_without_any_value_is_no_drift(spark: SparkSession, log: Path) -> None:
    pq.write_table(TABLE.set_column(4, "price", pa.nulls(1)), log / "log" / "0.parquet")
    source = MappedSource(mapped_logs(log, EVENTS))

    rows = source.read_events(spark, (FIRST_DAY, LAST_DAY), LAST_DAY).sort("price").collect()

    assert [(row.price, row.fault) for row in rows] == [(None, None), (29, None)]
    assert source.found["log"]["price"] == "floating"


def test_a_column_that_nothing_is_mapped_from_may_go(spark: SparkSession, log: Path) -> None:
    known = read(spark, log, EVENTS).found
    pq.write_table(TABLE.drop_columns(["other"]), log / "log" / "1.parquet")

    assert read(spark, log, EVENTS, known).found["log"]["user"] == "integer"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        pytest.param(TABLE.drop_columns(["price"]), "column price.*is missing", id="gone"),
        pytest.param(
            TABLE.rename_columns({"user": "uid"}), "column user.*missing; found .*uid", id="renamed"
        ),
        pytest.param(
            retyped(TABLE, {"user": pa.string()}), "column user.*should be integer as .*before, found text",
            id="int to text",
        ),
        pytest.param(
            retyped(TABLE, {"quantity": pa.float64()}), "column quantity.*should be integer.*found floating",
            id="int to double",
        ),
        pytest.param(
            retyped(TABLE, {"ts": pa.timestamp("s")}), "column ts.*should be integer .*found timestamp",
            id="a type that the mapping cannot read",
        ),
    ],
)  # fmt: skip
def test_drift_that_would_change_values_is_blocked_by_name(
    spark: SparkSession, log: Path, table: pa.Table, problem: str
) -> None:
    known = read(spark, log, EVENTS).found
    pq.write_table(table, log / "log" / "2.parquet")

    with pytest.raises(ValueError, match=f"log/2.parquet: {problem}.*deliver"):
        read(spark, log, EVENTS, known)
    (log / "log" / "1.parquet").unlink()
    with pytest.raises(ValueError, match=f"log/2.parquet: {problem}.*deliver"):
        read(spark, log, EVENTS, known)


def test_all_problems_are_told_at_once(spark: SparkSession, log: Path) -> None:
    pq.write_table(retyped(TABLE, {"user": pa.string()}).drop_columns(["price"]), log / "log" / "2.parquet")

    with pytest.raises(ValueError, match=r"column user.*\n.*column price"):
        read(spark, log, EVENTS)


def test_columns_of_csv_may_come_in_another_order_and_must_all_be_there(
    spark: SparkSession, tmp_path: Path
) -> None:
    events = mapping(files={"format": "csv", "path": "log"})
    write_csv(tmp_path / "log" / "1.csv", [ROW])
    write_csv(tmp_path / "log" / "2.csv", [{"new": 1, **dict(reversed(ROW.items()))}])
    source = MappedSource(mapped_logs(tmp_path, events))

    rows = source.read_events(spark, (FIRST_DAY, LAST_DAY), LAST_DAY)

    assert rows.select("user_id", "item_id", "price").distinct().collect() == [("u", "i", 29)]
    write_csv(tmp_path / "log" / "3.csv", [{"ts": 1, "user": 1}])
    with pytest.raises(ValueError, match=r"log/3.csv: column item"):
        read(spark, tmp_path, events)


def test_a_key_that_no_json_line_has_is_a_missing_column(spark: SparkSession, tmp_path: Path) -> None:
    events = mapping(files={"format": "jsonl", "path": "log"})
    write_jsonl(tmp_path / "log" / "1.jsonl", [{**ROW, "price": None}, {"ts": NOON}])
    read(spark, tmp_path, events)

    write_jsonl(tmp_path / "log" / "1.jsonl", [{"ts": NOON}])

    with pytest.raises(ValueError, match=r"1.jsonl: column price, which price is mapped from, is missing"):
        read(spark, tmp_path, events)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("1.parquet", b"", "not a whole Parquet file"), ("1.parquet", b"PAR1", "not a whole Parquet file"),
        ("1.csv", b"", "without a header line"), ("1.csv", b"a,b,a\n", r"columns \['a'\] occur twice"),
    ],
    ids=["empty parquet", "torn parquet", "empty csv", "a column twice"],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named(
    spark: SparkSession, tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / name).write_bytes(content)

    with pytest.raises(ValueError, match=f"log/{name}: .*{problem}"):
        read(spark, tmp_path, mapping(files={"format": name.split(".")[1], "path": "log"}))


def test_a_torn_compressed_file_is_named(spark: SparkSession, tmp_path: Path) -> None:
    file = write_csv(
        tmp_path / "log" / "1.csv.gz", [{**ROW, "ts": n * 7919 % 100_003} for n in range(20_000)]
    )
    file.write_bytes(file.read_bytes()[:-2000])
    source = MappedSource(mapped_logs(tmp_path, mapping(files={"format": "csv", "path": "log"})))
    rows = source.read_events(spark, (FIRST_DAY, LAST_DAY), LAST_DAY)

    with (
        pytest.raises(ValueError, match=r"^/.*log/1.csv.gz: cannot be read to its end"),
        naming_unreadable_files(),
    ):
        rows.groupBy("user_id").count().collect()


def test_a_wrong_path_is_named_with_the_settings_to_look_at(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"events.csv: no such file; are logs.path and files.path right"):
        read(spark, tmp_path, mapping())


def test_a_folder_without_rows_is_a_day_without_events(spark: SparkSession, tmp_path: Path) -> None:
    write_parquet(tmp_path / "log" / "1.parquet", [], TABLE.schema)
    source = MappedSource(mapped_logs(tmp_path, EVENTS))

    assert source.read_events(spark, (FIRST_DAY, LAST_DAY), LAST_DAY).isEmpty()
