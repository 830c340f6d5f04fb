"""One scenario's tables: read a range of days, replace a range of days in one commit, know what was built.

The data files of a write are invisible until the commit; a commit removes all files of the replaced
days and adds the new ones (FACTS: Iceberg through pyiceberg, no JVM jars), so that a rerun is
idempotent, also when the new result is empty.
"""

import fcntl
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, ValidationException
from pyiceberg.expressions import (
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    LessThan,
    LessThanOrEqual,
    Or,
)
from pyiceberg.manifest import DataFile as IcebergFile
from pyiceberg.table import Table as IcebergTable
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.built_days import BuiltDays, Settings, made_by
from jobs.lake.columns import Table
from jobs.lake.data_files import DataFile, Finish, check_day, epoch_day, file_order, place_of
from jobs.lake.days import DayRange, days_between, merge_ranges, missing_ranges
from jobs.lake.files import Make, write_files, write_made
from jobs.lake.transactions import OneCopyTransaction, replace_files

logger = logging.getLogger(__name__)

_COMMIT_TRIES = 8


@dataclass
class Lake:
    """The tables of one scenario, and the lineage of what the current stage reads and writes.

    `lineage` (run id, job, date, versions) goes into the summary of every snapshot, together with the
    snapshots that this object has read before. `settings` of each table go on record with the days that are
    built: days that were built by others are not there. `version` stands for what is no setting.
    """

    catalog: Catalog
    scenario: str
    home: Path
    lineage: Mapping[str, str] = field(default_factory=dict)
    num_partitions: int = 8
    inputs: dict[str, int] = field(default_factory=dict)
    settings: Mapping[str, Settings] = field(default_factory=dict)

    def for_one_table(self) -> "Lake":
        """The same tables with a lineage of their own: for a table that is made beside others."""
        return replace(self, inputs=dict(self.inputs))

    # ---- reading

    def find(self, table: Table) -> IcebergTable | None:
        """The Iceberg table as it is; None where nothing was written yet."""
        try:
            return self.catalog.load_table((self.scenario, table.name))
        except NoSuchTableError:
            return None

    def load(self, table: Table) -> IcebergTable:
        """The Iceberg table, created or widened to the schema of `table` where needed."""
        identifier = (self.scenario, table.name)
        schema = table.arrow_schema()
        loaded = self.find(table)
        if loaded is None:
            self._create(identifier, schema)
            loaded = self.catalog.load_table(identifier)
        if set(schema.names) - {column.name for column in loaded.schema().fields}:
            with loaded.update_schema() as update:
                update.union_by_name(schema)
        return loaded

    def files(
        self,
        table: Table,
        days: DayRange | None = None,
        snapshot_id: int | None = None,
        where: BooleanExpression | None = None,
    ) -> list[str]:
        """Paths of the data files of `table` by day and bucket, of all days or a range, now or at a snapshot.

        `where` leaves out the files whose statistics say that they hold no such row.
        """
        return [file.file_path for file in self._plan(table, days, snapshot_id, where)]

    def files_by_day(
        self, table: Table, days: DayRange, where: BooleanExpression | None = None
    ) -> dict[date, list[str]]:
        """Paths of the data files of each day of a range; days without a file are left out."""
        found: dict[date, list[str]] = {}
        for file in self._plan(table, days, where=where):
            found.setdefault(epoch_day(file.partition[0]), []).append(file.file_path)
        return found

    def _plan(
        self,
        table: Table,
        days: DayRange | None,
        snapshot_id: int | None = None,
        where: BooleanExpression | None = None,
    ) -> list[IcebergFile]:
        loaded = self.find(table)
        current = loaded.current_snapshot() if loaded else None
        if loaded is None or current is None:
            return []
        snapshot = snapshot_id or current.snapshot_id
        self.inputs[table.name] = snapshot
        condition = And(within(days) if days else AlwaysTrue(), where or AlwaysTrue())
        scan = loaded.scan(row_filter=condition, snapshot_id=snapshot)
        return sorted((task.file for task in scan.plan_files()), key=lambda file: file_order(file.file_path))

    def read(
        self, spark: SparkSession, table: Table, days: DayRange | None = None, snapshot_id: int | None = None
    ) -> DataFrame:
        """The rows of `table`, of all days or of the days from `days[0]` to `days[1]`, both included."""
        paths = [spark_path(path) for path in self.files(table, days, snapshot_id)]
        schema = table.spark_schema()
        return spark.read.schema(schema).parquet(*paths) if paths else spark.createDataFrame([], schema)

    def read_arrow(
        self, table: Table, days: DayRange | None = None, snapshot_id: int | None = None
    ) -> pa.Table:
        """The rows of a small table (a run's own records) in the driver's memory."""
        paths = self.files(table, days, snapshot_id)
        schema = table.arrow_schema()
        tables = [pa.parquet.read_table(local_path(path), schema=schema, partitioning=None) for path in paths]
        return pa.concat_tables(tables) if tables else schema.empty_table()

    def snapshot_id(self, table: Table) -> int | None:
        loaded = self.find(table)
        snapshot = loaded.current_snapshot() if loaded else None
        return snapshot.snapshot_id if snapshot else None

    def built_days(self, table: Table, version: str = "") -> list[DayRange]:
        """The days that were written by these settings and columns, whether they had rows or not."""
        return self.record_of(table).days_by(self._made_by(table, version))

    def has_built(self, table: Table, day: date, version: str = "") -> bool:
        return any(first <= day <= last for first, last in self.built_days(table, version))

    def changed_settings(self, table: Table) -> list[str]:
        """The keys that have changed since the table's days were built."""
        return self.record_of(table).changes(self._made_by(table, ""))

    def record_of(self, table: Table) -> BuiltDays:
        return BuiltDays.read(self.find(table))

    def _made_by(self, table: Table, version: str) -> Settings:
        return made_by(table, self.settings.get(table.name, {}), version)

    # ---- writing

    def replace_days(
        self,
        rows: DataFrame,
        table: Table,
        days: DayRange,
        version: str = "",
        finish: Finish | None = None,
    ) -> int:
        """Replaces the days from `days[0]` to `days[1]` by `rows` in one commit; returns how many rows.

        `finish`: see `write_files`.
        """
        location = self.load(table).location()
        num_buckets = len(days_between(*days)) * table.buckets_per_day
        files = write_files(rows, table, location, min(num_buckets, self.num_partitions), finish)
        self.commit(table, days, files, version)
        return sum(file.row_count for file in files)

    def replace_made(
        self, inputs: DataFrame, make: Make, tables: Sequence[Table], days: DayRange
    ) -> dict[str, int]:
        """Replaces the days of each table by what `make` yields in the tasks of `inputs`; returns row counts.

        Each table is one commit, in their order: whoever asks whether the days are built asks for them all.
        """
        places = {table.name: place_of(table, self.load(table).location()) for table in tables}
        files = write_made(inputs, make, places)
        for table in tables:
            self.commit(table, days, files[table.name])
        return {name: sum(file.row_count for file in of_table) for name, of_table in files.items()}

    def forget_days(self, table: Table, days: Sequence[DayRange]) -> None:
        """Takes days out of the record of what was built: they are built again, and serve until then."""
        if self.find(table) is None:
            return
        with self._one_writer(table):
            loaded = self.load(table)
            record = BuiltDays.read(loaded)
            left = [part for built in record.days for part in missing_ranges(built, days)]
            if left != record.days:
                with OneCopyTransaction(loaded) as transaction:
                    transaction.set_properties(replace(record, days=left).properties)

    def append(self, table: Table, rows: Sequence[Mapping[str, Any]], replacing: Mapping[str, str]) -> None:
        """Adds records of a run to a small table, in place of those whose columns equal `replacing`."""
        schema = table.arrow_schema()
        records = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
        with self._one_writer(table):
            loaded = self.load(table)
            condition = _equal_to({**replacing, "ds": rows[0]["ds"]})
            with OneCopyTransaction(loaded) as transaction:
                if _may_hold(loaded, condition):
                    transaction.overwrite(records, condition, snapshot_properties=self._summary())
                else:
                    transaction.append(records, snapshot_properties=self._summary())

    def remove(self, table: Table, matching: Mapping[str, Any]) -> None:
        """Removes the records of a small table whose columns equal `matching`, if there are any."""
        if self.find(table) is None:
            return
        with self._one_writer(table):
            loaded, condition = self.load(table), _equal_to(matching)
            if _may_hold(loaded, condition):
                with OneCopyTransaction(loaded) as transaction:
                    transaction.delete(condition, snapshot_properties=self._summary())

    def commit(
        self,
        table: Table,
        days: DayRange,
        files: Sequence[DataFile],
        version: str = "",
        drop_before: date = date.min,
    ) -> None:
        """Makes `files` the only rows of `days`, and removes all days before `drop_before`, in one commit.

        Raises:
            ValueError: if a file lies outside `days` or does not carry its day in `ds`.
        """
        for file in files:
            if not days[0] <= file.day <= days[1]:
                raise ValueError(f"{file.path} is of {file.day}: not within {days[0]} to {days[1]}")
            check_day(file)
        with self._one_writer(table):
            for attempt in range(_COMMIT_TRIES):
                try:
                    self._commit_once(table, days, files, version, drop_before)
                except (CommitFailedException, ValidationException):
                    if attempt == _COMMIT_TRIES - 1:
                        raise
                    logger.info("%s: another commit came first, trying again", table.name)
                    time.sleep(0.05 * 2**attempt)
                else:
                    break
        logger.info("%s: %d rows for %s to %s", table.name, sum(file.row_count for file in files), *days)

    def _commit_once(
        self, table: Table, days: DayRange, files: Sequence[DataFile], version: str, drop_before: date
    ) -> None:
        loaded, now = self.load(table), self._made_by(table, version)
        older = (date.min, drop_before - timedelta(days=1)) if drop_before > date.min else None
        replaced = (
            Or(within(days), LessThan(term="ds", value=drop_before.isoformat())) if older else within(days)
        )
        built = merge_ranges([*BuiltDays.read(loaded).days_by(now), days])
        if older:
            built = [part for kept in built for part in missing_ranges(kept, [older])]
        with OneCopyTransaction(loaded) as transaction:
            old = [task.file for task in loaded.scan(row_filter=replaced).plan_files()]
            replace_files(transaction, loaded, old, [file.path for file in files], self._summary())
            transaction.set_properties(BuiltDays(now, built).properties)

    def _summary(self) -> dict[str, str]:
        inputs = json.dumps(self.inputs, sort_keys=True)
        return {f"nightshelf.{name}": value for name, value in {**self.lineage, "inputs": inputs}.items()}

    def _create(self, identifier: tuple[str, str], schema: pa.Schema) -> None:
        with self._one_at_a_time(f"{self.scenario}.create"):  # the catalog looks, and inserts without a lock
            if self.catalog.table_exists(identifier):
                return
            self.catalog.create_namespace_if_not_exists(self.scenario)
            create = self.catalog.create_table_transaction
            with create(identifier, schema) as creation, creation.update_spec() as spec:
                spec.add_identity("ds")

    def _one_writer(self, table: Table) -> AbstractContextManager[None]:
        """Writers of one home commit in turn: SQLite has no queue, and properties no conflict check."""
        return self._one_at_a_time(f"{self.scenario}.{table.name}.commit")

    @contextmanager
    def _one_at_a_time(self, name: str) -> Iterator[None]:
        folder = self.home / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _equal_to(values: Mapping[str, Any]) -> BooleanExpression:
    return And(*[EqualTo(term=name, value=value) for name, value in values.items()])


def _may_hold(loaded: IcebergTable, condition: BooleanExpression) -> bool:
    """Whether any file may hold such a row: pyiceberg warns of a deletion that finds none.

    Its warning cannot be silenced here, for filters of warnings are those of all threads.
    """
    return any(True for _ in loaded.scan(row_filter=condition).plan_files())


def within(days: DayRange) -> BooleanExpression:
    """The filter that selects the days from `days[0]` to `days[1]`, both included."""
    first, last = days
    if first == last:
        return EqualTo(term="ds", value=first.isoformat())
    return And(
        GreaterThanOrEqual(term="ds", value=first.isoformat()),
        LessThanOrEqual(term="ds", value=last.isoformat()),
    )


def local_path(uri: str) -> str:
    """The path that pyarrow, torch and DuckDB open: a plain path for file:// URIs, others unchanged."""
    parsed = urlparse(uri)
    return unquote(parsed.path) if parsed.scheme == "file" else uri


def spark_path(uri: str) -> str:
    """Spark's name for an object: s3:// is s3a:// there; the only place where the engines differ."""
    return "s3a://" + uri.removeprefix("s3://") if uri.startswith("s3://") else uri
