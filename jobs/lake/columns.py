"""What a lake table looks like, in three type systems: ours, Arrow's (and so Iceberg's) and Spark's."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import types as spark_types

_TYPES: dict[str, tuple[pa.DataType, spark_types.DataType]] = {
    "string": (pa.string(), spark_types.StringType()),
    "int": (pa.int32(), spark_types.IntegerType()),
    "long": (pa.int64(), spark_types.LongType()),
    "float": (pa.float32(), spark_types.FloatType()),
    "double": (pa.float64(), spark_types.DoubleType()),
    "boolean": (pa.bool_(), spark_types.BooleanType()),
    "date": (pa.date32(), spark_types.DateType()),
    "timestamp": (pa.timestamp("us", tz="UTC"), spark_types.TimestampType()),
    "list<int>": (pa.list_(pa.int32()), spark_types.ArrayType(spark_types.IntegerType())),
    "list<long>": (pa.list_(pa.int64()), spark_types.ArrayType(spark_types.LongType())),
    "list<float>": (pa.list_(pa.float32()), spark_types.ArrayType(spark_types.FloatType())),
    "list<string>": (pa.list_(pa.string()), spark_types.ArrayType(spark_types.StringType())),
    "map<string,string>": (
        pa.map_(pa.string(), pa.string()),
        spark_types.MapType(spark_types.StringType(), spark_types.StringType()),
    ),
    "map<string,double>": (
        pa.map_(pa.string(), pa.float64()),
        spark_types.MapType(spark_types.StringType(), spark_types.DoubleType()),
    ),
}


@dataclass(frozen=True)
class Column:
    """One column: its name, its type (a key of `_TYPES`) and what it means, with its unit."""

    name: str
    type: str
    meaning: str


DS = Column("ds", "date", "the day of the partition")


@dataclass(frozen=True)
class Table:
    """One table of the lake: partitioned by `ds`, rows sorted by `key`, one file per day and bucket.

    The bucket is a hash of `key[0]`, or the boolean or small number `split_by`, so that readers may plan only
    the files with the rows that they want.

    `files_per_day` and `row_group_rows` are fixed here and not taken from the machine, so that equal
    content gives equal files on any number of cores.
    """

    name: str
    meaning: str
    ds_is: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    files_per_day: int = 1
    split_by: str | None = None
    row_group_rows: int = 131_072

    @property
    def buckets_per_day(self) -> int:
        return 2 if self.split_by else self.files_per_day

    @property
    def all_columns(self) -> tuple[Column, ...]:
        return (DS, *self.columns)

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.all_columns]

    def arrow_schema(self) -> pa.Schema:
        return arrow_schema(self.all_columns)

    def spark_schema(self) -> spark_types.StructType:
        return spark_types.StructType(
            [spark_types.StructField(column.name, _TYPES[column.type][1]) for column in self.all_columns]
        )


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    return pa.schema([pa.field(column.name, _TYPES[column.type][0]) for column in columns])
