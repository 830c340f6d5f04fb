"""The options that several commands share, and how their errors reach the terminal."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from jobs.exit_codes import exit_code_of

if TYPE_CHECKING:
    from jobs.lake.lake import Lake

DEFAULT_SCENARIO = "grocery"
DATE_FORMATS = ["%Y-%m-%d"]

Scenario = Annotated[
    str,
    typer.Option(
        "--scenario", "-s", metavar="NAME", help="A file of conf/ without .yaml, or the path of one."
    ),
]
RunDate = Annotated[
    datetime,
    typer.Option("--date", "-d", formats=DATE_FORMATS, metavar="DAY", help="The run date: 2017-12-02."),
]


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@contextmanager
def clear_errors() -> Iterator[None]:
    """Prints an error that speaks for itself in red and exits with its code; others keep their traceback."""
    try:
        yield
    except Exception as error:
        code = exit_code_of(error)
        if code is None:
            raise
        console = Console(stderr=True, soft_wrap=True)
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(code) from error


def open_lake(scenario: str) -> "Lake":
    """The tables of a scenario, to be read.

    Raises:
        ValueError: if nothing has been run in this home yet; reading never makes one.
    """
    from jobs.config import load_runtime, load_scenario
    from jobs.lake.catalog import home_folder, open_catalog
    from jobs.lake.lake import Lake

    name, runtime, home = load_scenario(scenario).name, load_runtime(), home_folder()
    if not runtime.catalog and not (home / "lake" / "catalog.db").is_file():
        raise ValueError(
            f"{home} has no tables yet: make some with `nightshelf run --scenario {name} --date DAY`, "
            "or set NIGHTSHELF_HOME to the home that has them"
        )
    return Lake(open_catalog(home, runtime.catalog), name, home)


def log_in_background() -> None:
    """A terminal gets one line a stage and what goes wrong; a log file gets everything."""
    from jobs.stage import log_to_standard_error

    log_to_standard_error()
    if Console(stderr=True).is_terminal:
        logging.getLogger().setLevel(logging.WARNING)
