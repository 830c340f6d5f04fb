"""One Spark task per day (and bucket of users): it reads that day's files and runs SQL on them in DuckDB.

Features, candidates and examples of a day depend on the files of a few days alone, so that no shuffle is
needed: Spark spreads the days over the cluster, DuckDB joins a day's tables
(docs/decisions/0006-day-tasks.md).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.dataset
from pyiceberg.expressions import BooleanExpression
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.columns import Table
from jobs.lake.data_files import bucket_of
from jobs.lake.days import DayRange, days_between
from jobs.lake.files import Batches, MadeRows, Make
from jobs.lake.lake import Lake, local_path

DayDatabase = duckdb.DuckDBPyConnection
MakeDay = Callable[[DayDatabase, date], Mapping[str, pa.Table]]


class DayTask(NamedTuple):
    """What is made of a day, or of a bucket of its users; `paths` are the files of each view."""

    day: date
    bucket: int
    paths: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Input:
    """A table that the tasks of a day `d` read as the view `view`: its days d + `first` to d + `last`.

    `days` names fixed days in place of those around `d`, and `where` the files of any day that may hold
    rows of a condition; `files` are given instead of looked up. `bucketed` tables have one file a bucket;
    of others every task reads all files.
    """

    table: Table
    view: str
    first: int = 0
    last: int = 0
    bucketed: bool = False
    days: DayRange | None = None
    where: Callable[[date], BooleanExpression] | None = None
    files: Sequence[str] | None = None

    def range_of(self, day: date) -> DayRange:
        return self.days or (day + timedelta(days=self.first), day + timedelta(days=self.last))


def plan_tasks(
    spark: SparkSession, lake: Lake, inputs: Sequence[Input], days: DayRange, num_buckets: int = 1
) -> DataFrame:
    """The tasks of each day and bucket, one in each partition of a frame for `read_tasks`."""
    files = {item.view: _files_of(lake, item, days) for item in inputs}
    tasks: list[DayTask] = []
    for day in days_between(*days):
        of_day = {view: find(day) for view, find in files.items()}
        for bucket in range(num_buckets):
            paths = {item.view: _of_bucket(item, of_day[item.view], bucket) for item in inputs}
            tasks.append(DayTask(day, bucket, paths))
    return task_frame(spark, tasks, len(tasks))


def task_frame(spark: SparkSession, tasks: Sequence[DayTask], num_partitions: int) -> DataFrame:
    """The tasks dealt out to partitions, made by the JVM: rows of Python would need a worker of their own."""
    texts = [json.dumps([str(task.day), task.bucket, task.paths]) for task in tasks]
    all_texts = F.split(F.lit("\n".join(texts)), "\n")
    numbers = spark.range(0, len(tasks), 1, max(1, num_partitions))
    return numbers.select(F.element_at(all_texts, F.col("id").cast("int") + 1).alias("task"))


def read_tasks(batches: Batches) -> Iterator[DayTask]:
    """The tasks of a partition of a `task_frame`."""
    for batch in batches:
        for text in batch.column("task").to_pylist():
            day, bucket, paths = json.loads(text)
            yield DayTask(date.fromisoformat(day), bucket, paths)


def make_each_day(make: MakeDay, inputs: Sequence[Input], outputs: Sequence[Table]) -> Make:
    """Wraps `make`, which turns a day's database into the rows of each output table, for `replace_made`.

    Rows are sorted by their table's key; those of a table that is split come in one file a part. SQL has the
    task's bucket of users as getvariable('bucket').
    """
    schemas = {item.view: item.table.arrow_schema() for item in inputs}

    def run(batches: Batches) -> Iterator[MadeRows]:
        for task in read_tasks(batches):
            with open_day(task.paths, schemas) as database:
                database.execute(f"SET VARIABLE bucket = {task.bucket}")
                made = make(database, task.day)
            for table in outputs:
                for bucket, rows in _split(made[table.name], table, task.bucket):
                    yield table.name, task.day, bucket, rows

    return run


def open_day(paths: Mapping[str, Sequence[str]], schemas: Mapping[str, pa.Schema]) -> DayDatabase:
    """A database in memory with a view over the files of each input; it spills to disk when it must."""
    database = duckdb.connect(config={"threads": 1})  # Spark runs one task per core
    for view, schema in schemas.items():
        if paths[view]:
            rows = pyarrow.dataset.dataset(
                list(map(local_path, paths[view])), schema=schema, format="parquet"
            )
        else:
            rows = schema.empty_table()
        database.register(view, rows)
    return database


def _files_of(lake: Lake, item: Input, days: DayRange) -> Callable[[date], list[str]]:
    """What finds the files of an input for a day of the range."""
    if item.files is not None:
        given = list(item.files)
        return lambda day: given
    if item.where is not None:
        where = item.where
        return lambda day: lake.files(item.table, where=where(day))
    files = lake.files_by_day(item.table, (item.range_of(days[0])[0], item.range_of(days[1])[1]))
    return lambda day: [path for of in days_between(*item.range_of(day)) for path in files.get(of, ())]


def _of_bucket(item: Input, paths: Iterable[str], bucket: int) -> list[str]:
    return [path for path in paths if not item.bucketed or bucket_of(path) == bucket]


def _split(rows: pa.Table, table: Table, bucket: int) -> Iterator[tuple[int, pa.Table]]:
    if table.split_by is None:
        yield bucket, rows
        return
    for part in sorted(rows[table.split_by].unique().to_pylist()):
        yield int(part), rows.filter(pa.compute.equal(rows[table.split_by], part))
