"""Late rows of the log -> which days of which tables have to be built again, and no others.

Which these are follows from the registry (jobs/stages.py): what a table is made from, and how far a day of it
reaches. Tables that each run makes anew have no days to forget.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from jobs.lake.columns import Table
from jobs.lake.days import DayRange, merge_ranges
from jobs.lake.lake import Lake
from jobs.logs.tables import EVENTS
from jobs.stage import Run
from jobs.stage_graph import Read
from jobs.stage_tables import RUN_DATE
from jobs.stages import made_tables


def dirty_days(run: Run, late_days: Sequence[date]) -> list[tuple[Table, list[DayRange]]]:
    """What rests on the late days, tables that rest on others first and `events` last."""
    last = run.date + timedelta(days=1)
    dirty = {EVENTS.name: merge_ranges((day, day) for day in late_days)}
    tables = [made for made in made_tables(run.scenario).values() if made.days is not RUN_DATE]
    for made in tables:
        reached = [_reach(read, days, last) for read in made.reads for days in dirty.get(read.table, ())]
        if reached:
            dirty[made.table.name] = merge_ranges(reached)
    return [(made.table, dirty[made.table.name]) for made in reversed(tables) if made.table.name in dirty]


def _reach(read: Read, days: DayRange, last: date) -> DayRange:
    first, end = days
    return first + timedelta(days=read.first), last if read.last is None else end + timedelta(days=read.last)


def forget_late_days(run: Run, lake: Lake, late_days: Sequence[date]) -> None:
    """Marks dirty what rests on the late days; a run that dies between finds the same days again."""
    for table, days in dirty_days(run, late_days):
        lake.forget_days(table, days)
