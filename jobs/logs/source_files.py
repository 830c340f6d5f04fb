"""Parquet files of a source, checked before Spark reads them: a bad file is named, with its column."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType

_CHECKS = {
    "integer": pa.types.is_integer,
    "number": lambda t: pa.types.is_integer(t) or pa.types.is_floating(t) or pa.types.is_decimal(t),
    "string": lambda t: pa.types.is_string(t) or pa.types.is_large_string(t),
    "timestamp": pa.types.is_timestamp,
}


def read_source(spark: SparkSession, file: Path, columns: Mapping[str, str]) -> DataFrame:
    """Reads the named columns of a Parquet file; timestamps of any unit become Spark timestamps.

    `columns` maps each needed column to `integer`, `number`, `string` or `timestamp`; further columns
    of the file are left alone.

    Raises:
        ValueError: if the file is missing, is no whole Parquet file, or has other columns or types.
    """
    schema = _read_schema(file)
    missing = sorted(set(columns) - set(schema.names))
    if missing:
        raise ValueError(f"{file}: missing columns {missing}, found {sorted(schema.names)}")
    for name, kind in columns.items():
        if not _CHECKS[kind](schema.field(name).type):
            raise ValueError(
                f"{file}: column {name} should be of type {kind}, found {schema.field(name).type}"
            )
    rows = spark.read.parquet(str(file))
    return rows.select([_column(rows, name, kind).alias(name) for name, kind in columns.items()])


def _column(rows: DataFrame, name: str, kind: str) -> Column:
    column = F.col(name)
    if kind != "timestamp":
        return column
    if rows.schema[name].dataType == LongType():  # Spark has no nanoseconds: it reads them as a number
        return F.timestamp_micros(F.call_function("div", column, F.lit(1000)))
    return column.cast("timestamp")  # naive stamps: the session's time zone is UTC


def _read_schema(file: Path) -> pa.Schema:
    if not file.is_file():
        raise ValueError(f"{file}: no such file; is the path of the scenario's log right (logs.path)?")
    try:
        return pq.read_schema(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{file}: not a whole Parquet file ({error}): fetch it again") from error
