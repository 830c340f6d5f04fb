"""What a run would do, told from the configuration and the catalog's metadata; nothing is made or changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from jobs.all_tables import tables_by_stage
from jobs.commands.table_list import list_days
from jobs.features.anchors import training_anchor_days
from jobs.lake.catalog import open_catalog
from jobs.lake.lake import Lake
from jobs.logs.sources import open_source
from jobs.stage import Run, make_run

# What each stage reads, by the name of the stage that wrote it.
_READS = {
    "ingest": ("the log",),
    "tiles": ("events",),
    "features": ("tiles", "items", "promotions", "campaign_members"),
    "candidates": ("features", "promotions"),
    "examples": ("candidates", "features", "events", "promotions", "campaign_members"),
    "train": ("examples",),
    "evaluate": ("examples", "model_runs"),
    "recommend": ("candidates", "features", "model_runs"),
    "publish": ("what recommend wrote",),
    "report": ("everything of the run",),
}

# The table of each stage that tells which days it has built; the other stages are about the date alone.
_TABLE_WITH_DAYS = {
    "ingest": "events",
    "tiles": "item_days",
    "features": "user_features",
    "candidates": "candidates",
    "examples": "examples",
}


@dataclass(frozen=True)
class PlannedStep:
    """One stage: what it reads and writes, for which days, and what is there already."""

    stage: str
    reads: Sequence[str]
    writes: Sequence[str]
    days: str
    now: str


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
    return PlannedRun(run.scenario.name, day, run.home, log, [_plan_step(run, stage) for stage in _READS])


def _plan_step(run: Run, stage: str) -> PlannedStep:
    days, now = _days_of(run, stage)
    return PlannedStep(stage, _READS[stage], _writes(run, stage), days, now)


def _writes(run: Run, stage: str) -> list[str]:
    by_stage = tables_by_stage(run.scenario)
    if stage == "train":
        return ["model_runs", f"models/{run.scenario.name}/"]
    if stage == "evaluate":
        twins = ["twin_gains"] if run.scenario.learn.has_twins_on(run.date) else []
        explained = ["field_importance", "field_attributions", *twins, "diagnostics"]
        return ["task_metrics", "model_runs", *explained]
    if stage == "report":
        return [f"reports/{run.scenario.name}/{run.date}.html"]
    return [table.name for table in by_stage.get(stage, ())]


def _days_of(run: Run, stage: str) -> tuple[str, str]:
    """(days that the stage covers, how many of them its table holds already)."""
    if stage not in _TABLE_WITH_DAYS:
        return str(run.date), ""
    is_of_log = stage in {"ingest", "tiles"}
    first, last = (run.scenario.logs.first_day, run.date) if is_of_log else training_anchor_days(run)
    there = sum(first <= day <= last for day in _built_days(run, _TABLE_WITH_DAYS[stage]))
    scoring = f" and {run.date + timedelta(days=1)}" if stage in {"features", "candidates"} else ""
    return f"{first} to {last}{scoring}", f"{there} of {(last - first).days + 1} days there"


def _built_days(run: Run, table: str) -> Sequence[date]:
    lake = _open(run)
    return list_days(lake, table) if lake else []


def _open(run: Run) -> Lake | None:
    """The lake if there is one: opening the embedded catalog would make its folder."""
    if not run.runtime.catalog and not (run.home / "lake" / "catalog.db").is_file():
        return None
    return Lake(open_catalog(run.home, run.runtime.catalog), run.scenario.name, run.home)
