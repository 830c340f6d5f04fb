from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.logs.source_files import read_source

NOON = datetime(2017, 1, 10, 12)  # noqa: DTZ001 # as the source has it: naive


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
    pq.write_table(pa.table({"at": pa.array([NOON], pa.timestamp("us")).cast(pa.timestamp(unit))}), file)

    row = read_source(spark, file, {"at": "timestamp"}).selectExpr("CAST(at AS STRING) AS at").first()

    assert row is not None
    assert row.at == "2017-01-10 12:00:00"


def test_nanoseconds_keep_their_microseconds(spark: SparkSession, tmp_path: Path) -> None:
    microseconds = 1_511_544_070_123_457 + 1_000 * pa.array(range(1000)).to_numpy()
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"at": pa.array(microseconds * 1000).cast(pa.timestamp("ns"))}), file)

    rows = read_source(spark, file, {"at": "timestamp"}).selectExpr("unix_micros(at) AS at").sort("at")

    assert [row.at for row in rows.collect()] == microseconds.tolist()
