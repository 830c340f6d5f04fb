"""Spark tasks -> Parquet data files that no table knows of yet.

Either Spark places and sorts finished rows (`write_files`), or tasks make the rows themselves and write
them where they are, without a way back through the JVM (`write_made`).
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from itertools import pairwise

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake.buckets import bucket_column
from jobs.lake.columns import Table
from jobs.lake.data_files import DataFile, DayFileWriter, Finish, Place, epoch_day, file_order, place_of

_BUCKET = "_bucket"
_RESULT = "name string, path string, day date, row_count long"

Batches = Iterator[pa.RecordBatch]
# Table, day, bucket, and rows in the order of the table's key; None: its file has all its rows.
MadeRows = tuple[str, date, int, pa.Table | None]
Make = Callable[[Batches], Iterable[MadeRows]]


def write_files(
    rows: DataFrame, table: Table, location: str, num_partitions: int, finish: Finish | None = None
) -> list[DataFile]:
    """Writes `rows` below `location` and returns the files of the tasks that succeeded.

    The buckets of the days are dealt out to `num_partitions` tasks in turn, so that each has as many.
    `finish` turns all rows of a (day, bucket) into what is written: for columns that depend on the other
    rows of the day. Without it `rows` have the columns of `table`.

    Raises:
        ValueError: if `rows` lack a column of `table` or have one that it does not know.
    """
    if finish is None:
        _check_columns(rows, table)
        rows = rows.select([F.col(field.name).cast(field.dataType) for field in table.spark_schema()])
    bucket = bucket_column(table.key[0], table.files_per_day)
    if table.split_by:
        bucket = F.col(table.split_by).cast("int")
    turn = F.pmod(F.unix_date("ds") * table.buckets_per_day + F.col(_BUCKET), F.lit(num_partitions))
    placed = (
        rows.withColumn(_BUCKET, bucket)
        .repartitionById(num_partitions, turn.cast("int"))
        .sortWithinPartitions("ds", _BUCKET, *table.key)
    )
    written = placed.mapInArrow(_sorted_writer(place_of(table, location), finish), _RESULT)
    return _files_of(written)[""]


def write_made(inputs: DataFrame, make: Make, places: Mapping[str, Place]) -> dict[str, list[DataFile]]:
    """Runs `make` on each partition of `inputs` and writes what it yields; returns the files of each table.

    The partitions decide which files there are: all rows of a (day, bucket) must come from one of them.
    """
    written = _files_of(inputs.mapInArrow(_made_writer(make, dict(places)), _RESULT))
    return {name: written.get(name, []) for name in places}


def _files_of(written: DataFrame) -> dict[str, list[DataFile]]:
    files: dict[str, list[DataFile]] = {"": []}
    for row in written.collect():  # one row a file
        files.setdefault(row.name, []).append(DataFile(row.path, row.day, row.row_count))
    return {
        name: sorted(of_table, key=lambda file: file_order(file.path)) for name, of_table in files.items()
    }


def _check_columns(rows: DataFrame, table: Table) -> None:
    expected, found = set(table.column_names), set(rows.columns)
    if expected != found:
        missing, unknown = sorted(expected - found), sorted(found - expected)
        raise ValueError(f"{table.name}: missing columns {missing}, unknown columns {unknown}")


def _sorted_writer(place: Place, finish: Finish | None) -> Callable[[Batches], Batches]:
    """What a task does with rows sorted by (day, bucket, key): writes them and yields its files."""

    def write(batches: Batches) -> Batches:
        gc.freeze()  # Spark collects garbage after each task: not among all that is loaded, each time anew
        writer = DayFileWriter(place)
        current: tuple[date, int] | None = None
        waiting: list[pa.Table] = []
        for key, rows in _runs(batches):
            if current not in {None, key}:
                _end_file(writer, current, waiting, finish)
                waiting = []
            current = key
            if finish is None:
                writer.add(*key, rows)
            else:
                waiting.append(rows)
        _end_file(writer, current, waiting, finish)
        yield _as_batch({"": writer})

    return write


def _end_file(
    writer: DayFileWriter, key: tuple[date, int] | None, waiting: list[pa.Table], finish: Finish | None
) -> None:
    if key is None:
        return
    if finish is not None:
        writer.add(*key, finish(pa.concat_tables(waiting)))
    if key in writer.open:
        writer.close_file(*key)


def _runs(batches: Batches) -> Iterator[tuple[tuple[date, int], pa.Table]]:
    """Cuts each batch where (ds, bucket) changes."""
    for batch in batches:
        if not batch.num_rows:
            continue
        days = batch.column("ds").cast(pa.int32()).to_numpy(zero_copy_only=False)
        buckets = batch.column(_BUCKET).to_numpy(zero_copy_only=False)
        changes = np.flatnonzero((np.diff(days) != 0) | (np.diff(buckets) != 0)) + 1
        rows = pa.Table.from_batches([batch])
        for start, end in pairwise([0, *changes.tolist(), batch.num_rows]):
            yield (epoch_day(int(days[start])), int(buckets[start])), rows.slice(start, end - start)


def _made_writer(make: Make, places: dict[str, Place]) -> Callable[[Batches], Batches]:
    def write(batches: Batches) -> Batches:
        gc.freeze()
        writers = {name: DayFileWriter(place) for name, place in places.items()}
        for name, day, bucket, rows in make(batches):
            if rows is None:
                writers[name].close_file(day, bucket)
            else:
                writers[name].add(day, bucket, rows)
        for writer in writers.values():
            writer.close()
        yield _as_batch(writers)

    return write


def _as_batch(writers: Mapping[str, DayFileWriter]) -> pa.RecordBatch:
    rows = [
        {"name": name, "path": file.path, "day": file.day, "row_count": file.row_count}
        for name, writer in writers.items()
        for file in writer.written
    ]
    schema = pa.schema(
        [("name", pa.string()), ("path", pa.string()), ("day", pa.date32()), ("row_count", pa.int64())]
    )
    return pa.RecordBatch.from_pylist(rows, schema=schema)
