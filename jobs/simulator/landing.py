"""Landing folders: event rows go to the folder of the day on which they are ingested, as files of one format.

    events/date=2024-01-01/part-00003-000.parquet     partition 3 of the users, its first file of the day

A file appears whole or not at all, and a task that is tried again writes the same files again.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from jobs.simulator.config import FaultsConfig, Format
from jobs.simulator.random_numbers import Ints
from mtl_model.remove_folder import remove_folder

FOLDERS = ("events", "items", "users", "promotions", "campaign_members", "truth")
MANIFEST = "manifest.json"

_ROWS_PER_FILE = 500_000
_DISTINCT = {"event_id", "event_time", "ingested_at", "shown_at"}  # a dictionary would only cost time


def clear_target(target: Path, overwrite: bool, needed_bytes: int) -> None:
    """Makes `target` an empty folder; an older simulation in it is removed on demand.

    Raises:
        ValueError: if it holds something, or the disk has too little room for `needed_bytes`.
    """
    found = {path.name for path in target.iterdir()} if target.is_dir() else set()
    if foreign := sorted(found - {*FOLDERS, MANIFEST}):
        raise ValueError(
            f"{target} holds {foreign[:5]}, which no simulation has written: name another folder"
        )
    if found and not overwrite:
        raise ValueError(f"{target} holds a simulation: name another folder, or replace it by --overwrite")
    for folder in FOLDERS:
        remove_folder(target / folder, target)
    (target / MANIFEST).unlink(missing_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(target).free) < needed_bytes:
        raise ValueError(
            f"{target} has {free / 1e9:.1f} GB of free disk, {needed_bytes / 1e9:.1f} GB are needed: "
            "ask for fewer --events, or name another folder"
        )


def count_finished(target: Path) -> int:
    """How many days have been simulated, by all tasks together."""
    return sum(1 for _ in (target / "truth").glob("date=*/part-*-000.parquet"))


class DayFolders:
    """The open days of one partition of users; a day is closed once no more rows can come for it."""

    def __init__(
        self, folder: Path, kind: Format, partition: int, first_day: date, faults: FaultsConfig
    ) -> None:
        self.folder, self.kind, self.partition = folder, kind, partition
        self.first_day, self.faults = first_day, faults
        self.open: dict[int, list[pa.Table]] = {}
        self.file_counts: Counter[int] = Counter()
        self.row_counts: Counter[date] = Counter()

    def add(self, rows: pa.Table, days: Ints) -> None:
        """Takes rows with the day of each, counted from the first day of the log."""
        for day in np.unique(days).tolist():
            tables = self.open.setdefault(day, [])
            tables.append(rows.filter(pa.array(days == day)))
            if sum(table.num_rows for table in tables) >= _ROWS_PER_FILE:
                self._write(day)

    def close_until(self, day: int) -> None:
        """Writes what has come for `day` and the days before."""
        for due in sorted(open_day for open_day in self.open if open_day <= day):
            self._write(due)

    def close(self) -> None:
        self.close_until(max(self.open, default=0))

    def _write(self, day: int) -> None:
        rows, on = pa.concat_tables(self.open.pop(day)), self.first_day + timedelta(days=day)
        name = f"part-{self.partition:05}-{self.file_counts[day]:03}"
        write_table(_drift(rows, self.faults, on), self.folder / f"date={on}", name, self.kind)
        self.file_counts[day] += 1
        self.row_counts[on] += rows.num_rows


def write_table(table: pa.Table, folder: Path, name: str, kind: str) -> None:
    """Writes `folder`/`name`.`kind`."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{name}.{kind}.unfinished"
    _WRITERS[kind](table, unfinished)
    unfinished.replace(folder / f"{name}.{kind}")


def _write_parquet(table: pa.Table, file: Path) -> None:
    repeated = [field.name for field in table.schema if field.name not in _DISTINCT and not _is_float(field)]
    pq.write_table(table, file, compression="zstd", use_dictionary=repeated)


def _is_float(field: pa.Field) -> bool:
    return bool(pa.types.is_floating(field.type))


def _write_csv(table: pa.Table, file: Path) -> None:
    pa_csv.write_csv(table, file)


def _write_jsonl(table: pa.Table, file: Path) -> None:
    path = str(file).replace("'", "''")
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("rows", table)
        connection.execute(f"COPY rows TO '{path}' (FORMAT json)")


_WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "jsonl": _write_jsonl,
}


def _drift(rows: pa.Table, faults: FaultsConfig, landed_on: date) -> pa.Table:
    """Gives the rows the schema that the log has on their landing day."""
    if faults.new_column and landed_on >= faults.new_column:
        rows = rows.append_column("app_version", pa.repeat("2.0", rows.num_rows))
    if faults.price_as_text and landed_on >= faults.price_as_text:
        index = rows.schema.get_field_index("price")
        rows = rows.set_column(index, "price", pc.cast(rows["price"], "string"))
    return rows
