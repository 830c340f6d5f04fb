"""Spark rows -> Parquet data files that no table knows of yet.

Each (day, bucket) becomes one file, sorted by the table's key: the bucket is a hash of the first key
column, so the files depend on the rows alone and not on cores, partitions or the order of the input.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake.columns import Table

_BUCKET = "_bucket"
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class DataFile:
    """A Parquet file that holds rows of one day of one table."""

    path: str
    day: date
    row_count: int


def write_files(rows: DataFrame, table: Table, location: str, num_partitions: int) -> list[DataFile]:
    """Writes `rows` below `location` and returns the files of the tasks that succeeded.

    Raises:
        ValueError: if `rows` lack a column of `table` or have one that it does not know.
    """
    _check_columns(rows, table)
    typed = rows.select([F.col(field.name).cast(field.dataType) for field in table.spark_schema()])
    bucket = F.pmod(F.xxhash64(table.key[0]), F.lit(table.files_per_day)).cast("int")
    if table.split_by:
        bucket = F.col(table.split_by).cast("int")
    placed = (
        typed.withColumn(_BUCKET, bucket)
        .repartition(num_partitions, "ds", _BUCKET)
        .sortWithinPartitions("ds", _BUCKET, *table.key)
    )
    written = placed.mapInArrow(
        _file_writer(table.arrow_schema(), location, table.row_group_rows),
        "path string, day date, row_count long",
    )
    return sorted(
        (DataFile(row.path, row.day, row.row_count) for row in written.collect()), key=lambda f: f.path
    )


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


def _check_columns(rows: DataFrame, table: Table) -> None:
    expected, found = set(table.column_names), set(rows.columns)
    if expected != found:
        missing, unknown = sorted(expected - found), sorted(found - expected)
        raise ValueError(f"{table.name}: missing columns {missing}, unknown columns {unknown}")


def _open(path: str, schema: pa.Schema) -> pq.ParquetWriter:
    filesystem, local_path = fs.FileSystem.from_uri(path)
    filesystem.create_dir(local_path.rsplit("/", 1)[0], recursive=True)
    return pq.ParquetWriter(local_path, schema, filesystem=filesystem, compression="zstd")


class _DayFiles:
    """The files that one task writes: a new one whenever (day, bucket) changes in its sorted rows."""

    def __init__(self, location: str, schema: pa.Schema, row_group_rows: int, token: str) -> None:
        self.location, self.schema, self.row_group_rows, self.token = location, schema, row_group_rows, token
        self.written: list[tuple[str, int, int]] = []
        self.current: tuple[int, int] | None = None
        self.writer: pq.ParquetWriter | None = None
        self.pending = schema.empty_table()

    def add(self, day_and_bucket: tuple[int, int], rows: pa.Table) -> None:
        if day_and_bucket != self.current:
            self.close()
            day, bucket = self.current = day_and_bucket
            path = f"{self.location}/data/{date.fromordinal(_EPOCH + day)}/{self.token}-{bucket}.parquet"
            self.writer = _open(path, self.schema)
            self.written.append((path, day, 0))
        path, day, count = self.written[-1]
        self.written[-1] = (path, day, count + rows.num_rows)
        self.pending = pa.concat_tables([self.pending, rows])
        while self.pending.num_rows > self.row_group_rows:
            self._write(self.pending.slice(0, self.row_group_rows))
            self.pending = self.pending.slice(self.row_group_rows)

    def close(self) -> None:
        if self.writer is not None:
            self._write(self.pending)
            self.writer.close()
        self.writer, self.pending = None, self.schema.empty_table()

    def _write(self, rows: pa.Table) -> None:
        cast(pq.ParquetWriter, self.writer).write_table(rows.combine_chunks())

    def as_batch(self) -> pa.RecordBatch:
        paths, days, counts = zip(*self.written, strict=True) if self.written else ((), (), ())
        return pa.RecordBatch.from_arrays(
            [
                pa.array(paths, pa.string()),
                pa.array(days, pa.int32()).cast(pa.date32()),
                pa.array(counts, pa.int64()),
            ],
            names=["path", "day", "row_count"],
        )


def _file_writer(
    schema: pa.Schema, location: str, row_group_rows: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What a task does with its rows: writes them and yields the names of its files."""

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = cast(TaskContext, TaskContext.get())
        token = f"{uuid.uuid4().hex[:12]}-{context.partitionId()}-{context.attemptNumber()}"
        files = _DayFiles(location, schema, row_group_rows, token)
        for day_and_bucket, rows in _runs(batches, schema):
            files.add(day_and_bucket, rows)
        files.close()
        yield files.as_batch()

    return write


def _runs(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[tuple[tuple[int, int], pa.Table]]:
    """Cuts each batch where (ds, bucket) changes."""
    for batch in batches:
        if not batch.num_rows:
            continue
        days = batch.column("ds").cast(pa.int32()).to_numpy(zero_copy_only=False)
        buckets = batch.column(_BUCKET).to_numpy(zero_copy_only=False)
        changes = np.flatnonzero((np.diff(days) != 0) | (np.diff(buckets) != 0)) + 1
        bounds = [0, *changes.tolist(), batch.num_rows]
        rows = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
        for start, end in pairwise(bounds):
            yield (int(days[start]), int(buckets[start])), rows.slice(start, end - start)
