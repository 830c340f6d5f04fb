"""Commands that compare shelves with what was really bought: backtest, demo."""

import json
from datetime import date
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from jobs.commands.options import DEFAULT_SCENARIO, Scenario, clear_errors, log_in_background

_COLUMNS = ("method", "date", "segment", "ndcg@10", "recall@10", "hit@10", "ci_low", "ci_high", "users")


def backtest(
    dates: Annotated[str, typer.Option(metavar="DAYS", help="Run dates: 2017-12-02,2017-12-09.")],
    scenario: Scenario = DEFAULT_SCENARIO,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Recommends with what was known on each date and compares with what was bought in the days after.

    Beside the joint model stand rivals: popular items, a user's own purchase frequency, and the same with
    a 90-day half-life. The line method=joint, date=all, segment=all is the result.
    """
    days = _parse_days(dates)
    log_in_background()
    with clear_errors():
        from jobs.backtest.run_backtest import run_backtest

        rows = run_backtest(scenario, days)
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in {"method", "date", "segment"} else "right")
    for row in rows:
        values = [row.get(column) for column in _COLUMNS]
        table.add_row(*(f"{value:.4f}" if isinstance(value, float) else str(value) for value in values))
    Console().print(table)


def demo() -> None:
    """Runs the night of 2017-12-02 for grocery; shows a shelf beside what was bought in the week after."""
    log_in_background()
    with clear_errors():
        from jobs.demo import run_demo

        run_demo()


def _parse_days(text: str) -> list[date]:
    try:
        return [date.fromisoformat(day.strip()) for day in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write 2017-12-02,2017-12-09", param_hint="--dates") from error
