"""What every stage has in common: arguments, the lock on its date, its record in `run_stages`, exit code."""

import argparse
import logging
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

from jobs.bulk_stages import build_in_turn
from jobs.config import ConfigError, RuntimeConfig, ScenarioConfig, load_runtime, load_scenario
from jobs.exit_codes import RunHeldError, exit_code_of
from jobs.lake.catalog import home_folder, open_catalog
from jobs.lake.columns import Column, Table
from jobs.lake.days import DayRange, days_to_build, missing_ranges
from jobs.lake.lake import Lake
from jobs.locks import HeldError, hold
from jobs.run_ids import check_run_id, refuse_other_night

logger = logging.getLogger(__name__)

RUN_STAGES = Table(
    name="run_stages",
    meaning="One row per stage of a run: how long it took and how many rows it wrote.",
    ds_is="run date",
    key=("run_id", "stage"),
    columns=(
        Column("run_id", "string", "the run"),
        Column("stage", "string", "the stage"),
        Column("status", "string", "succeeded or failed"),
        Column("started_at", "timestamp", "when the stage started"),
        Column("seconds", "double", "how long it took"),
        Column("row_counts", "map<string,string>", "rows written, per table"),
        Column("error", "string", "why it failed"),
    ),
)

RowCounts = Mapping[str, int]


@dataclass(frozen=True)
class Run:
    """One night of one scenario: what every stage of it is told."""

    scenario: ScenarioConfig
    runtime: RuntimeConfig
    date: date
    run_id: str
    home: Path
    builds_missing_only: bool = False

    def __post_init__(self) -> None:
        check_run_id(self.run_id)

    @property
    def config_digest(self) -> str:
        """Of the whole scenario."""
        return self.scenario.digest(*type(self.scenario).model_fields)

    def days_to_build(self, wanted: DayRange, built: Sequence[DayRange]) -> list[DayRange]:
        """The days of `wanted` that were not built, and its last day once more: a rerun rebuilds its own day.

        Without the last day where only what is missing is to be built (jobs/bulk_stages.py).
        """
        return (missing_ranges if self.builds_missing_only else days_to_build)(wanted, built)

    def lake(self, job: str = "") -> Lake:
        """The scenario's tables; what is written through this object carries the lineage of `job`."""
        lineage = {
            "run-id": self.run_id,
            "job": job,
            "date": str(self.date),
            "version": version("nightshelf"),
            "config-digest": self.config_digest,
        }
        from jobs.stages import table_settings  # the registry is made of modules that know of runs

        return Lake(
            open_catalog(self.home, self.runtime.catalog),
            self.scenario.name,
            self.home,
            lineage,
            self.runtime.shuffle_partitions,
            settings=table_settings(self.scenario),
        )


def make_run(scenario: str, day: date, run_id: str | None = None) -> Run:
    """Loads the configuration and checks that the log has the day, and that a given run id is free for it.

    Raises:
        ConfigError: if the configuration is wrong, the day outside the log, or the run id another night's.
    """
    config = load_scenario(scenario)
    first, last = config.logs.first_day, config.logs.last_day
    if day < first or (last and day > last):
        end = f"to {last}" if last else "on"
        raise ConfigError([f"--date {day}: the log of {config.name} has the days {first} {end}"])
    name = f"{config.name}-{day}-{uuid.uuid4().hex[:8]}" if run_id is None else run_id
    run = Run(config, load_runtime(), day, name, home_folder())
    if run_id is not None:
        refuse_other_night(
            open_catalog(run.home, run.runtime.catalog), RUN_STAGES.name, config.name, day, name
        )
    return run


@contextmanager
def hold_date(run: Run) -> Iterator[None]:
    """Keeps others from working on the same scenario and date; the lock falls with the process.

    Raises:
        RunHeldError: if another process holds it; the message names the holder.
    """
    path = run.home / "locks" / f"{run.scenario.name}-{run.date}.run"
    try:
        with hold(path, {"run_id": run.run_id}, waits=False):
            yield
    except HeldError as error:
        raise RunHeldError(
            f"{run.scenario.name} {run.date} is held by {error}: wait for it to end, or stop it"
        ) from error


Build = Callable[[Run, Lake], RowCounts]


def run_stage(stage: str, build: Build, run: Run) -> RowCounts:
    """Runs one stage and records it in `run_stages`, also when it fails."""
    lake = run.lake(stage)
    started_at, start = datetime.now(UTC), time.monotonic()
    row_counts: RowCounts = {}
    status, message = "failed", None
    try:
        row_counts = build_in_turn(stage, build, run, lake)
        status = "succeeded"
    except BaseException as error:
        message = f"{type(error).__name__}: {error}"[:2000]
        raise
    finally:
        record = {
            "ds": run.date,
            "run_id": run.run_id,
            "stage": stage,
            "status": status,
            "started_at": started_at,
            "seconds": round(time.monotonic() - start, 3),
            "row_counts": [(table, str(count)) for table, count in row_counts.items()],
            "error": message,
        }
        lake.append(RUN_STAGES, [record], replacing={"run_id": run.run_id, "stage": stage})
    logger.info("%s: done in %.1f s", stage, time.monotonic() - start)
    return row_counts


def stage_main(description: str | None, stage: str, build: Build, argv: Sequence[str] | None) -> int:
    """The command line of a stage: --scenario, --date, --run-id; returns the exit code."""
    log_to_standard_error()
    arguments = _parse_arguments(description, argv)

    def work() -> None:
        run = make_run(arguments.scenario, arguments.date, arguments.run_id)
        with hold_date(run):
            run_stage(stage, build, run)

    return guarded(work)


def log_to_standard_error() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("py4j", "pyiceberg", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _parse_arguments(description: str | None, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", required=True, help="a file of conf/ without .yaml, or the path of one")
    parser.add_argument("--date", required=True, type=date.fromisoformat, help="the last complete day")
    parser.add_argument("--run-id", help="the run that this stage is part of (default: a new one)")
    return parser.parse_args(argv)


def guarded(work: Callable[[], None]) -> int:
    """Runs `work` and turns what it may raise into one clear message and an exit code."""
    try:
        work()
    except Exception as error:
        code = exit_code_of(error)
        if code is None:
            raise
        for line in str(error).splitlines():
            logger.error("%s", line)
        return code
    return 0
