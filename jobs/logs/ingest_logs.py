"""logs -> events, items, users, promotions, campaign_members; bad rows -> quarantine with the reason.

The run of --date loads every day up to it that has not been loaded yet, that day itself once more, and the
days before it that late rows have changed since. Rows reconcile: read = kept + duplicate + late_held +
quarantined + filtered.

No day forgets what a later night has learned: a rerun of an older date takes the knowledge of the newest
one, so that the tables depend on the log and the newest date alone, and not on the order of the runs.
"""

import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import pyarrow.compute as pc
from py4j.protocol import Py4JError  # type: ignore[import-untyped] # no stubs
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake.columns import Table
from jobs.lake.days import DayRange, days_between, missing_ranges
from jobs.lake.lake import Lake
from jobs.lake.spark import run_together, start_spark
from jobs.late_days import forget_late_days
from jobs.logs.judge_events import (
    count_rows,
    drop_duplicates,
    find_late_days,
    judge,
    select_events,
    select_quarantined,
)
from jobs.logs.sources import Source, open_source
from jobs.logs.tables import (
    CAMPAIGN_MEMBERS,
    EVENTS,
    INGEST_COUNTS,
    ITEMS,
    PROMOTIONS,
    QUARANTINE,
    SOURCE_COLUMNS,
    USERS,
)
from jobs.stage import RowCounts, Run, stage_main
from jobs.stages import missing_days

logger = logging.getLogger(__name__)

_FEW_DUPLICATES = 1_000_000  # their ids fit into the memory of every executor


def ingest_logs(run: Run, lake: Lake) -> RowCounts:
    """Loads the missing and the changed days up to the run's date, and that date; returns rows per table."""
    known = read_known_columns(lake, run.scenario.digest("logs"))
    source = open_source(run.scenario.logs, known)
    with naming_unreadable_files():
        late_days = mark_late_days(run, lake, partial(_read_late_days, run, source))
        loads = (_load_events, _load_catalogue, _load_promotions)
        parts = run_together([partial(load, run, lake.for_one_table(), source) for load in loads])
        counts = {name: count for part in parts for name, count in part.items()}
    _record_columns(run, lake, source, known)
    return counts | ({"late_days": len(late_days)} if late_days else {})


def mark_late_days(run: Run, lake: Lake, find: Callable[[DayRange], Sequence[date]]) -> Sequence[date]:
    """Finds the loaded days that rows learned since belong to, and forgets that they were built.

    `find` tells these days from the days on which rows were learned. What rests on an event day is forgotten
    with it; `events` come last, so that a run that dies between finds the same days again. Forgotten is, too,
    what was built on a day that is not loaded: such a run may have marked it.
    """
    known_through, late_days = _known_through(lake), list[date]()
    if known_through and known_through < run.date:
        late_days += find((known_through + timedelta(days=1), run.date))
    if late_days:
        logger.info("late rows for %s: loaded again", ", ".join(map(str, late_days)))
    to_load = missing_ranges((run.scenario.logs.first_day, run.date), lake.built_days(EVENTS))
    if changed := sorted({*late_days, *(day for days in to_load for day in days_between(*days))}):
        forget_late_days(run, lake, changed)
    return late_days


def _read_late_days(run: Run, source: Source, learned: DayRange) -> Sequence[date]:
    rows = source.read_learned(start_spark(run.runtime), learned)
    return [] if rows is None else find_late_days(judge(rows, run.scenario.logs, run.date), learned)


def _known_through(lake: Lake) -> date | None:
    """The newest date that has been loaded: every loaded day has all rows learned up to its end."""
    return max((last for _, last in lake.built_days(EVENTS)), default=None)


def _load_events(run: Run, lake: Lake, source: Source) -> dict[str, int]:
    spark, logs = start_spark(run.runtime), run.scenario.logs
    known_through = max(run.date, _known_through(lake) or run.date)
    counts = {"events": 0, "quarantine": 0, "ingest_counts": 0}
    events = replace(EVENTS, files_per_day=run.scenario.features.user_files_per_day)
    for days in missing_days(run, lake, events):
        judged = judge(source.read_events(spark, days, known_through), logs, known_through)
        rows = judged.where(F.col("ds").between(*days))
        rows = rows.persist() if source.reads_text else rows
        for table, count in _load_days(rows, lake, events, days).items():
            counts[table] += count
        rows.unpersist()
    return counts


def _load_days(rows: DataFrame, lake: Lake, events: Table, days: DayRange) -> dict[str, int]:
    lake.replace_days(count_rows(rows), INGEST_COUNTS, days)
    books = lake.read_arrow(INGEST_COUNTS, days)
    duplicates, quarantined, rounded = (
        pc.sum(books[name]).as_py() or 0 for name in ("duplicate", "quarantined", "rounded")
    )
    if rounded:
        logger.warning(
            "%d rows have an amount of money finer than its unit: rounded (ingest_counts)", rounded
        )
    bad = select_quarantined(rows)
    num_bad = lake.replace_days(bad if quarantined else bad.limit(0), QUARANTINE, days)
    good = select_events(drop_duplicates(rows, duplicates <= _FEW_DUPLICATES) if duplicates else rows)
    # The events come last: their commit says that the days are loaded.
    num_events = lake.replace_days(good, events, days)
    return {"events": num_events, "quarantine": num_bad, "ingest_counts": books.num_rows}


def _load_catalogue(run: Run, lake: Lake, source: Source) -> dict[str, int]:
    """Items and users, once for each version of their files."""
    spark, first_day = start_spark(run.runtime), run.scenario.logs.first_day
    version, counts = source.catalogue_version(), {}
    for table, read in ((ITEMS, source.read_items), (USERS, source.read_users)):
        today = (first_day, first_day)
        if missing_ranges(today, lake.built_days(table, version)):
            rows = read(spark).withColumn("ds", F.lit(first_day))
            counts[table.name] = lake.replace_days(rows, table, today, version)
    return counts


def _load_promotions(run: Run, lake: Lake, source: Source) -> dict[str, int]:
    spark, counts = start_spark(run.runtime), {}
    for table, read in (
        (PROMOTIONS, source.read_promotions),
        (CAMPAIGN_MEMBERS, source.read_campaign_members),
    ):
        for days in missing_days(run, lake, table):
            rows = read(spark).withColumn("ds", F.col("valid_from"))
            counts[table.name] = lake.replace_days(rows.where(F.col("ds").between(*days)), table, days)
    return counts


def read_known_columns(lake: Lake, digest: str) -> dict[str, dict[str, str]]:
    """Kinds by source and column, as the nights before have met them under the same settings."""
    known: dict[str, dict[str, str]] = {}
    for row in lake.read_arrow(SOURCE_COLUMNS).to_pylist():
        if row["config_digest"] == digest:
            known.setdefault(row["source"], {})[row["column"]] = row["kind"]
    return known


def _record_columns(run: Run, lake: Lake, source: Source, known: Mapping[str, Mapping[str, str]]) -> None:
    digest = run.scenario.digest("logs")
    new = [
        {"ds": run.date, "source": name, "column": column, "kind": kind, "config_digest": digest}
        for name, kinds in source.found.items()
        for column, kind in kinds.items()
        if column not in known.get(name, {})
    ]
    if new:
        of_today = lake.read_arrow(SOURCE_COLUMNS, (run.date, run.date)).to_pylist()
        kept = [row for row in of_today if row["config_digest"] == digest]
        lake.append(SOURCE_COLUMNS, [*kept, *new], replacing={"config_digest": digest})


@contextmanager
def naming_unreadable_files() -> Iterator[None]:
    """Turns Spark's failure to read a file to its end into one line that names the file.

    Raises:
        ValueError: in place of Spark's error.
    """
    try:
        yield
    except (Py4JError, PySparkException) as error:
        if told := re.search(r"ValueError: (.+: cannot be read to its end, .+)", str(error)):
            raise ValueError(told[1]) from error
        torn = re.search(r"Encountered error while reading file (.+?)\.\s+SQLSTATE", str(error))
        if torn is None:
            raise
        file = re.sub("^file:/+", "/", torn[1])
        raise ValueError(
            f"{file}: cannot be read to its end, it is torn or damaged: have it delivered again"
        ) from error


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "ingest", ingest_logs, argv)


if __name__ == "__main__":
    sys.exit(main())
