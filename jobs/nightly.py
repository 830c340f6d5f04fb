"""All stages of a night in one process with one Spark session, and the bulk path for a range of days.

A stage that fails ends the night: yesterday's tables keep serving, and the report says what happened.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from rich.console import Console

from jobs.exit_codes import RunHeldError, exit_code_of
from jobs.lake.days import days_between
from jobs.stage import (
    RUN_STAGES,
    RowCounts,
    Run,
    guarded,
    hold_date,
    log_to_standard_error,
    make_run,
    run_stage,
)
from jobs.stages import BULK_STAGES, STAGES, load_stage

logger = logging.getLogger(__name__)


class NightFailedError(ValueError):
    """A stage of a night failed; the message names it and says how to go on."""


def run_night(scenario: str, day: date, from_stage: str | None = None, run_id: str | None = None) -> Run:
    """Runs a night, or what is left of the day's last run from `from_stage` on.

    Raises:
        NightFailedError: if a stage failed; the report has been written where that was possible.
        RunHeldError: if another run holds the date.
    """
    run = make_run(scenario, day, run_id)
    with hold_date(run):
        if from_stage and run_id is None:
            run = replace(run, run_id=last_run_id(run))
        stages = list(STAGES)
        _run_stages(run, stages[stages.index(from_stage) if from_stage else 0 :])
    return run


def backfill(scenario: str, first: date, last: date) -> list[Run]:
    """Builds everything up to the examples of `last` in bulk, then runs the night of each day.

    A night that fails, or whose date another run holds, does not keep the others from being run.

    Raises:
        NightFailedError: if the bulk part failed, or any of the nights; it names those that were held, too.
        RunHeldError: if other runs held some dates, and all other nights went well.
    """
    make_run(scenario, first)  # a first day outside the log should not be found out last
    if last < first:
        raise ValueError(f"--to {last} is before --from {first}")
    _build_in_bulk(scenario, first, last)
    runs: list[Run] = []
    failed: list[str] = []
    held: list[str] = []
    for day in days_between(first, last):
        try:
            runs.append(run_night(scenario, day))
        except RunHeldError as error:
            held.append(str(error))
            logger.warning("%s", error)
        except Exception as error:
            says_all = exit_code_of(error) is not None
            failed.append(f"{day}: {error}" if says_all else f"{day}: {type(error).__name__}: {error}")
            logger.warning("%s", failed[-1], exc_info=not says_all)
    if failed:
        raise NightFailedError("\n".join([*failed, *held]))
    if held:
        raise RunHeldError("\n".join(held))
    return runs


def _build_in_bulk(scenario: str, first: date, last: date) -> None:
    """The bulk part of a backfill; where another run holds its day, each night builds what it needs."""
    try:
        repair(scenario, last)
    except RunHeldError as error:
        logger.warning("nothing is built in bulk, which is slower: %s", error)
    except NightFailedError as error:
        cause, _, _ = str(error).rpartition("\n")  # without how to go on with a night
        again = f"nightshelf backfill --scenario {scenario} --from {first} --to {last}"
        raise NightFailedError(
            f"the bulk part, up to {last}: {cause}\nNo night has been run. Once that is mended: {again}"
        ) from error


def repair(scenario: str, day: date) -> Run:
    """Builds anew what late rows have changed, up to the examples of `day`, and nothing else.

    Raises:
        NightFailedError: if a stage failed.
        RunHeldError: if another run holds the date.
    """
    run = make_run(scenario, day)
    with hold_date(run):
        _run_stages(run, BULK_STAGES)
    return run


def last_run_id(run: Run) -> str:
    """The newest run of the run's date, for `--from-stage` to go on with.

    Raises:
        ValueError: if the date has never been run.
    """
    records = run.lake().read_arrow(RUN_STAGES, (run.date, run.date)).sort_by("started_at")
    if not records.num_rows:
        raise ValueError(f"{run.scenario.name} {run.date} has never been run: leave out --from-stage")
    return str(records["run_id"][-1])


def _run_stages(run: Run, stages: Sequence[str]) -> None:
    progress = _Progress(run)
    for stage in stages:
        progress.start(stage)
        try:
            row_counts = run_stage(stage, load_stage(stage), run)
        except Exception as error:
            progress.fail(stage)
            logger.debug("%s failed", stage, exc_info=True)
            if stage != "report" and "report" in stages:
                _report_failure(run)
            message = f"{stage} failed: {error}\nOnce that is mended: {_command_to_go_on(run, stage, stages)}"
            raise NightFailedError(message) from error
        progress.finish(stage, row_counts)


def _report_failure(run: Run) -> None:
    try:
        run_stage("report", load_stage("report"), run)
    except Exception:  # the failure that the report is about must not be hidden by the report's own
        logger.exception("the report could not be written")


def _command_to_go_on(run: Run, stage: str, stages: Sequence[str]) -> str:
    of_date = f"--scenario {run.scenario.name} --date {run.date}"
    if "report" not in stages:
        return f"nightshelf repair {of_date}"
    return f"nightshelf run {of_date} --from-stage {stage}"


class _Progress:
    """One line a stage on a terminal; elsewhere the log of `run_stage` says the same."""

    def __init__(self, run: Run) -> None:
        self.console = Console(stderr=True)
        self.started = time.monotonic()
        if self.console.is_terminal:
            self.console.print(f"[bold]{run.scenario.name} {run.date}[/]  [dim]{run.run_id}[/]")

    def start(self, stage: str) -> None:
        self.started = time.monotonic()
        if self.console.is_terminal:
            self.console.print(f"  [dim]…[/] {stage}", end="\r")

    def finish(self, stage: str, row_counts: RowCounts) -> None:
        rows = "  ".join(f"[dim]{table}[/] {count:,}" for table, count in row_counts.items())
        self._end_line("[green]✓[/]", stage, rows)

    def fail(self, stage: str) -> None:
        self._end_line("[red]✗[/]", stage, "")

    def _end_line(self, mark: str, stage: str, rows: str) -> None:
        if self.console.is_terminal:
            seconds = time.monotonic() - self.started
            self.console.print(f"  {mark} {stage:<10} {seconds:6.1f} s  {rows}", highlight=False)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", required=True, help="a file of conf/ without .yaml, or the path of one")
    parser.add_argument(
        "--date", required=True, type=date.fromisoformat, help="the last complete day, 2017-12-02"
    )
    parser.add_argument("--from-stage", choices=list(STAGES), help="go on with the day's last run here")
    parser.add_argument("--run-id", help="the name of the run (default: a new one)")
    arguments = parser.parse_args(argv)
    log_to_standard_error()

    def work() -> None:
        run_night(arguments.scenario, arguments.date, arguments.from_stage, arguments.run_id)

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
