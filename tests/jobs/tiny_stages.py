"""The bulk stages without Spark: one number a day and table, a sum of what the stages before have written.

They plan, mark late days, commit and remember what is built as the real ones do, on the real lake.
"""

import logging
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from threading import Event as ThreadEvent

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.candidates.tables import CANDIDATE_RECALL
from jobs.config import load_runtime, load_scenario
from jobs.examples.tables import examples
from jobs.features.anchors import scoring_day, training_anchor_days
from jobs.features.tables import ITEM_DAYS, item_features
from jobs.lake.columns import Table
from jobs.lake.data_files import DataFile
from jobs.lake.days import DayRange, days_between
from jobs.lake.lake import Lake, local_path
from jobs.logs.ingest_logs import mark_late_days
from jobs.logs.tables import EVENTS
from jobs.stage import RowCounts, Run, run_stage

Read = Callable[[str, date], int]

FIRST_DAY, DAY = date(2017, 11, 25), timedelta(days=1)
SCENARIO, RUNTIME = load_scenario("taobao"), load_runtime()
TABLES = {
    "ingest": EVENTS,
    "tiles": ITEM_DAYS,
    "features": item_features(SCENARIO.features),
    "candidates": CANDIDATE_RECALL,
    "examples": examples(SCENARIO),
}
# What each stage makes of a day, from what it reads of the stages before.
NUMBERS: dict[str, Callable[[Read, date], int]] = {
    "tiles": lambda read, day: read("ingest", day) + read("ingest", day - DAY),
    "features": lambda read, day: sum(read("tiles", day - days * DAY) for days in (1, 2, 3)),
    "candidates": lambda read, day: read("features", day) + read("tiles", day),
    "examples": lambda read, day: read("candidates", day) + read("features", day) + read("ingest", day),
}
STAGES = tuple(TABLES)


def tiny_run(home: Path, number: int, run_id: str) -> Run:
    """The night of the log's day of that number, 0 being its first."""
    return Run(SCENARIO, RUNTIME, FIRST_DAY + number * DAY, run_id, home)


def learned_on(day: date) -> list[date]:
    """When the rows of an event day are learned: one on the day, of every second day two later on."""
    is_late = (day - FIRST_DAY).days % 2 == 0
    return [day, *([day + DAY, day + 3 * DAY] if is_late else [])]


def expect(stage: str, day: date, known_through: date) -> int:
    """The number of a day once everything learned up to `known_through` is in the tables."""
    if day < FIRST_DAY or (stage == "features" and day == FIRST_DAY):
        return 0
    if stage == "ingest":
        return sum(learned <= known_through for learned in learned_on(day))
    return NUMBERS[stage](lambda stage, day: expect(stage, day, known_through), day)


def mark(run: Run, lake: Lake) -> None:
    """What ingestion does before it loads anything."""

    def find(learned: DayRange) -> list[date]:
        loaded = days_between(FIRST_DAY, learned[0] - DAY)
        return [day for day in loaded if any(learned[0] <= at <= learned[1] for at in learned_on(day))]

    mark_late_days(run, lake, find)


def build_ingest(run: Run, lake: Lake) -> RowCounts:
    mark(run, lake)
    known = max([run.date, *(last for _, last in lake.built_days(EVENTS))])
    return _build("ingest", run, lake, (FIRST_DAY, run.date), lambda day: expect("ingest", day, known))


def build_tiles(run: Run, lake: Lake) -> RowCounts:
    return _build_from_tables("tiles", run, lake, (FIRST_DAY, run.date))


def build_features(run: Run, lake: Lake) -> RowCounts:
    return _build_from_tables("features", run, lake, (training_anchor_days(run)[0], scoring_day(run)[0]))


def build_candidates(run: Run, lake: Lake) -> RowCounts:
    return _build_from_tables("candidates", run, lake, training_anchor_days(run))


def build_examples(run: Run, lake: Lake) -> RowCounts:
    return _build_from_tables("examples", run, lake, training_anchor_days(run))


def read_numbers(stage: str, lake: Lake, days: DayRange) -> dict[date, int]:
    table = TABLES[stage]
    rows = lake.read_arrow(table, days)
    return dict(zip(rows["ds"].to_pylist(), rows[_column(table)].to_pylist(), strict=True))


def _build_from_tables(stage: str, run: Run, lake: Lake, wanted: DayRange) -> RowCounts:
    numbers: dict[str, dict[date, int]] = {}

    def read(stage: str, day: date) -> int:
        if stage not in numbers:
            numbers[stage] = read_numbers(stage, lake, (wanted[0] - 3 * DAY, wanted[1]))
        return numbers[stage].get(day, 0)

    return _build(stage, run, lake, wanted, lambda day: NUMBERS[stage](read, day))


def _build(stage: str, run: Run, lake: Lake, wanted: DayRange, make: Callable[[date], int]) -> RowCounts:
    table, count = TABLES[stage], 0
    for days in run.days_to_build(wanted, lake.built_days(table)):
        files = [_write(lake, table, day, make(day)) for day in days_between(*days)]
        lake.commit(table, days, files)
        count += len(files)
    return {table.name: count}


def _column(table: Table) -> str:
    return next(column.name for column in table.columns if column.type == "long")


def _write(lake: Lake, table: Table, day: date, number: int) -> DataFile:
    folder = f"{lake.load(table).location()}/data"
    Path(local_path(folder)).mkdir(parents=True, exist_ok=True)
    path = f"{folder}/{uuid.uuid4().hex}.parquet"
    rows = pa.Table.from_pylist([{"ds": day, _column(table): number}], schema=table.arrow_schema())
    pq.write_table(rows, local_path(path))
    return DataFile(path, day, 1)


def add_one(run: Run, lake: Lake) -> RowCounts:
    """Reads the number of the first day and commits it, one larger."""
    number = read_numbers("tiles", lake, (FIRST_DAY, FIRST_DAY)).get(FIRST_DAY, 0)
    lake.commit(ITEM_DAYS, (FIRST_DAY, FIRST_DAY), [_write(lake, ITEM_DAYS, FIRST_DAY, number + 1)])
    return {}


def add_ones(home: Path, count: int, start: Barrier) -> None:
    run = tiny_run(home, 0, "adder")
    start.wait()
    for _ in range(count):
        run_stage("ingest", add_one, run)


@contextmanager
def telling_who_waits(waits: ThreadEvent) -> Iterator[None]:
    """Sets the event once somebody logs that a lock is held by another."""

    def notice(record: logging.LogRecord) -> bool:
        waits.set()
        return True

    locks = logging.getLogger("jobs.locks")
    locks.addFilter(notice)
    yield
    locks.removeFilter(notice)


def work_for_ever(home: Path, has_begun: Event) -> None:
    def wait(run: Run, lake: Lake) -> RowCounts:
        has_begun.set()
        while True:
            signal.pause()

    run_stage("ingest", wait, tiny_run(home, 0, "the-holder"))
