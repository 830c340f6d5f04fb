"""What a run would do, told from the configuration and the catalog's metadata; nothing is made or changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from jobs.lake.days import DayRange, days_to_build
from jobs.lake.lake import Lake
from jobs.logs.sources import open_source
from jobs.stage import Run, make_run
from jobs.stage_graph import Made, Stage
from jobs.stage_tables import RUN_DATE
from jobs.stages import STAGES


@dataclass(frozen=True)
class PlannedDays:
    """How many days of some tables a run will build, and why: the keys that have changed, if any have."""

    tables: Sequence[str]
    build: int
    there: int
    wanted: int
    changed: Sequence[str]

    def __str__(self) -> str:
        days = f"{self.build} day{'' if self.build == 1 else 's'}"
        why = f"{', '.join(self.changed)} changed" if self.changed else f"{self.there} of {self.wanted} there"
        return f"{days}, {why}: {', '.join(self.tables)}"


@dataclass(frozen=True)
class PlannedStep:
    """One stage: what it reads and writes, for which days, and what of it is there already."""

    stage: str
    reads: Sequence[str]
    writes: Sequence[str]
    days: str
    builds: Sequence[PlannedDays]


@dataclass(frozen=True)
class PlannedRun:
    """A whole night, before it runs."""

    scenario: str
    day: date
    home: Path
    log: str
    steps: Sequence[PlannedStep]


def plan_run(scenario: str, day: date) -> PlannedRun:
    """Plans the run of a date.

    Raises:
        ConfigError: if the configuration is wrong or the day outside the log.
        ValueError: if the log is not where it should be.
    """
    run = make_run(scenario, day)
    source = open_source(run.scenario.logs)
    files = source.files(day)
    size = sum(size for _, size in files) / 1e6
    log = f"{source.location}: {len(files)} files, {size:.0f} MB"
    lake = run.lake() if _has_lake(run) else None
    steps = [_plan_step(run, lake, stage) for stage in STAGES.values()]
    return PlannedRun(run.scenario.name, day, run.home, log, steps)


def _plan_step(run: Run, lake: Lake | None, stage: Stage) -> PlannedStep:
    scenario, (first, last) = run.scenario, stage.days.of(run)
    reads, writes = stage.reads(scenario), stage.writes(scenario)
    files = [stage.files.format(scenario=scenario.name, date=run.date)] if stage.files else []
    kept = [made for made in stage.makes(scenario) if made.days is not RUN_DATE]
    days = str(first) if first == last else f"{first} to {last}"
    return PlannedStep(stage.name, reads or ["the log"], [*writes, *files], days, _plan_days(run, lake, kept))


def _plan_days(run: Run, lake: Lake | None, made: Iterable[Made]) -> list[PlannedDays]:
    """One entry for all tables of which the same is to be said."""
    tables: dict[tuple[int, int, int, tuple[str, ...]], list[str]] = {}
    for one in made:
        record, changed = (
            (lake.record_of(one.table).days, lake.changed_settings(one.table)) if lake else ([], [])
        )
        wanted = one.days.of(run)
        built = [] if changed else record
        missing = sum(map(_length, days_to_build(wanted, built)))
        there = sum(_length((max(first, wanted[0]), min(last, wanted[1]))) for first, last in built)
        tables.setdefault((missing, there, _length(wanted), tuple(changed)), []).append(one.table.name)
    return [PlannedDays(names, *numbers) for numbers, names in tables.items()]


def _length(days: DayRange) -> int:
    return max(0, (days[1] - days[0]).days + 1)


def _has_lake(run: Run) -> bool:
    """Opening the embedded catalog would make its folder."""
    return bool(run.runtime.catalog) or (run.home / "lake" / "catalog.db").is_file()
