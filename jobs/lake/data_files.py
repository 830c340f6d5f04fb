"""Parquet data files of days: how a task writes them, and what is checked before they are committed.

Each (day, bucket) becomes one file; the files depend on the rows alone and not on cores or partitions.
A name begins with a random token, so that no two writes meet; `file_order` passes over it.
"""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from pyspark import TaskContext

from jobs.lake.columns import Table

_EPOCH = date(1970, 1, 1).toordinal()
_NAME = re.compile(r"[0-9a-f]{12}-(?P<task>\d+)-\d+-(?P<number>\d+)-(?P<bucket>\d+)\.parquet")


@dataclass(frozen=True)
class DataFile:
    """A Parquet file that holds rows of one day of one table."""

    path: str
    day: date
    row_count: int


@dataclass(frozen=True)
class Place:
    """Where a table's files go, and how they are cut."""

    location: str
    schema: pa.Schema
    row_group_rows: int


def place_of(table: Table, location: str) -> Place:
    return Place(location, table.arrow_schema(), table.row_group_rows)


def file_order(path: str) -> tuple[str, int, int, int, str]:
    """Sorts the files of a table by day, bucket, task and the number within the task.

    So equal tables are read in one order, whatever their files are called. Records of runs, which pyiceberg
    writes, have no bucket: they come first on their day, in no order to rely on.
    """
    folder, name = path.rsplit("/", 1)
    found = _NAME.fullmatch(name)
    if found is None:
        return folder, -1, 0, 0, name
    return folder, int(found["bucket"]), int(found["task"]), int(found["number"]), name


def bucket_of(path: str) -> int:
    """The bucket of the rows of a file.

    Raises:
        ValueError: if the file was not written by bucket.
    """
    found = _NAME.fullmatch(path.rsplit("/", 1)[1])
    if found is None:
        raise ValueError(f"{path} names no bucket: only tables that tasks write by bucket can be read by it")
    return int(found["bucket"])


class DayFileWriter:
    """The files that one task writes of one table; rows of a file come in the order of its key.

    A file stays open until `close_file` or `close`: what waits in memory is one row group a file.
    """

    def __init__(self, place: Place) -> None:
        context = cast(TaskContext, TaskContext.get())
        self.place = place
        self.token = f"{uuid.uuid4().hex[:12]}-{context.partitionId()}-{context.attemptNumber()}"
        self.open: dict[tuple[date, int], _OpenFile] = {}
        self.written: list[DataFile] = []

    def add(self, day: date, bucket: int, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        if (day, bucket) not in self.open:
            number = len(self.open) + len(self.written)  # a bucket that was closed may come again
            path = f"{self.place.location}/data/{day}/{self.token}-{number}-{bucket}.parquet"
            self.open[day, bucket] = _OpenFile(path, self.place)
        self.open[day, bucket].add(rows.select(self.place.schema.names).cast(self.place.schema))

    def close_file(self, day: date, bucket: int) -> None:
        file = self.open.pop((day, bucket))
        self.written.append(DataFile(file.path, day, file.close()))

    def close(self) -> None:
        for day, bucket in list(self.open):
            self.close_file(day, bucket)


class _OpenFile:
    def __init__(self, path: str, place: Place) -> None:
        filesystem, local_path = fs.FileSystem.from_uri(path)
        filesystem.create_dir(local_path.rsplit("/", 1)[0], recursive=True)
        self.path, self.place = path, place
        self.writer = pq.ParquetWriter(
            local_path, place.schema, filesystem=filesystem, compression="zstd",
            use_dictionary=_dictionary_columns(place.schema),
            column_encoding=dict.fromkeys(_whole_numbers(place.schema), "DELTA_BINARY_PACKED"),
        )  # fmt: skip
        self.waiting: list[pa.Table] = []
        self.waiting_rows = self.row_count = 0

    def add(self, rows: pa.Table) -> None:
        self.waiting.append(rows)
        self.waiting_rows += rows.num_rows
        self.row_count += rows.num_rows
        if self.waiting_rows >= self.place.row_group_rows:
            self._write(keep=self.waiting_rows % self.place.row_group_rows)

    def close(self) -> int:
        self._write(keep=0)
        self.writer.close()
        return self.row_count

    def _write(self, keep: int) -> None:
        if self.waiting:
            rows = pa.concat_tables(self.waiting).combine_chunks()
            whole = rows.num_rows - keep
            self.writer.write_table(rows.slice(0, whole), row_group_size=self.place.row_group_rows)
            self.waiting, self.waiting_rows = [rows.slice(whole)], keep


def _dictionary_columns(schema: pa.Schema) -> list[str]:
    """Names in Parquet of texts and days, of which many rows have the same; numbers are faster without."""

    def repeats(kind: pa.DataType) -> bool:
        return bool(pa.types.is_string(kind) or pa.types.is_date(kind))

    lists = [field for field in schema if pa.types.is_list(field.type)]
    plain = [field.name for field in schema if repeats(field.type)]
    return plain + [f"{field.name}.list.element" for field in lists if repeats(field.type.value_type)]


def _whole_numbers(schema: pa.Schema) -> list[str]:
    """Names of counts, sums and instants: packed by their differences they take half the time both ways."""
    wholes = (pa.types.is_int32, pa.types.is_int64, pa.types.is_timestamp)
    return [field.name for field in schema if any(is_whole(field.type) for is_whole in wholes)]


def epoch_day(days: int) -> date:
    """The date of a number of days since 1970-01-01."""
    return date.fromordinal(_EPOCH + days)


def check_day(file: DataFile) -> None:
    """Refuses a file whose rows do not all carry its day: Iceberg would accept one without `ds`.

    Raises:
        ValueError: if the file has no `ds` column or holds a null or another day.
    """
    filesystem, path = fs.FileSystem.from_uri(file.path)
    metadata = pq.read_metadata(path, filesystem=filesystem)
    if "ds" not in metadata.schema.names:
        raise ValueError(f"{file.path} has no column ds: every row must carry its day, {file.day}")
    index = metadata.schema.names.index("ds")
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(index).statistics
        if statistics is None or not statistics.has_min_max or statistics.null_count:
            raise ValueError(f"{file.path} has rows without ds: every row must carry its day, {file.day}")
        if (statistics.min, statistics.max) != (file.day, file.day):
            raise ValueError(
                f"{file.path} should hold ds={file.day}, found {statistics.min} to {statistics.max}: "
                "write each day to a file of its own"
            )


Finish = Callable[[pa.Table], pa.Table]
