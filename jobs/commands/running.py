"""Commands that change what readers see: run, backfill, rollback; and report, which writes a file."""

from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console

from jobs.commands.options import (
    DATE_FORMATS,
    DEFAULT_SCENARIO,
    RunDate,
    Scenario,
    clear_errors,
    log_in_background,
    open_lake,
)


def run(
    date: RunDate,
    scenario: Scenario = DEFAULT_SCENARIO,
    from_stage: Annotated[
        str | None,
        typer.Option(metavar="STAGE", help="Go on with the day's last run from this stage, such as publish."),
    ] = None,
    run_id: Annotated[str | None, typer.Option(help="The name of the run; by default a new one.")] = None,
) -> None:
    """Runs a whole night: from the log up to the date to published recommendations and a report."""
    from jobs.nightly import run_night
    from jobs.publish.write_report import report_path
    from jobs.stages import STAGES

    log_in_background()
    if from_stage and from_stage not in STAGES:
        raise typer.BadParameter(
            f"{from_stage!r} is no stage: {', '.join(STAGES)}", param_hint="--from-stage"
        )
    with clear_errors():
        night = run_night(scenario, date.date(), from_stage, run_id)
    console = Console(soft_wrap=True)
    console.print(f"published {night.run_id}\nreport    {report_path(night)}", highlight=False)


def backfill(
    first: Annotated[
        datetime, typer.Option("--from", formats=DATE_FORMATS, metavar="DAY", help="The first run date.")
    ],
    last: Annotated[
        datetime, typer.Option("--to", formats=DATE_FORMATS, metavar="DAY", help="The last run date.")
    ],
    scenario: Scenario = DEFAULT_SCENARIO,
) -> None:
    """Runs every night of a range: what rests on the data alone in bulk, then a model and shelves per day."""
    from jobs import nightly

    log_in_background()
    with clear_errors():
        runs = nightly.backfill(scenario, first.date(), last.date())
    for night in runs:
        Console(soft_wrap=True).print(f"published {night.run_id}", highlight=False)


def repair(date: RunDate, scenario: Scenario = DEFAULT_SCENARIO) -> None:
    """Builds anew what late rows have changed, from events to the examples up to a date, and nothing else.

    The night does so too; shelves that are published stay as they are.
    """
    from jobs import nightly

    log_in_background()
    with clear_errors():
        night = nightly.repair(scenario, date.date())
    Console(soft_wrap=True).print(
        f"repaired {night.scenario.name} up to {night.date}; what was done: "
        f"nightshelf query \"SELECT * FROM run_stages WHERE run_id = '{night.run_id}'\"",
        highlight=False,
    )


def rollback(
    to: Annotated[
        str, typer.Option("--to", metavar="RUN", help="The run whose tables are to be seen again.")
    ],
    scenario: Scenario = DEFAULT_SCENARIO,
) -> None:
    """Shows readers the tables of an older run again, in seconds; the days after it are hidden."""
    with clear_errors():
        from jobs.publish.rollback import roll_back

        publication = roll_back(open_lake(scenario), to)
    Console(soft_wrap=True).print(
        f"readers see {publication.run_id} again; the newest day is {publication.day}", highlight=False
    )


def report(date: RunDate, scenario: Scenario = DEFAULT_SCENARIO) -> None:
    """Writes the report of the day's last run once more and says where it is: one HTML file, no network."""
    with clear_errors():
        open_lake(scenario)
        from jobs.nightly import last_run_id
        from jobs.publish.write_report import report_path, write_report
        from jobs.stage import make_run

        night = make_run(scenario, date.date())
        night = make_run(scenario, date.date(), last_run_id(night))
        write_report(night, night.lake("report"))
    Console(soft_wrap=True).print(str(report_path(night)), highlight=False)
