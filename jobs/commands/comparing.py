"""The command that compares joint models with single-task twins: compare."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from jobs.commands.options import (
    DEFAULT_SCENARIO,
    RunDate,
    Scenario,
    clear_errors,
    log_in_background,
    open_lake,
)

if TYPE_CHECKING:
    from jobs.compare.train_runs import Plan, PlannedRun

_WORDS = ("model", "task", "metric")
_COLUMNS = (*_WORDS, "joint", "twin", "gain", "95%", "verdict", "log loss", "calibration", "twin's settings")
_COSTS = ("model", "parameters", "twins together", "rows/s", "twins one after another")
_WIDTH = 150  # narrower, columns would be cut


def compare(
    date: RunDate,
    sharing: Annotated[str, typer.Option(metavar="NAMES", help="Ways of sharing: shared_bottom,mmoe,ple.")],
    scenario: Scenario = DEFAULT_SCENARIO,
    balancing: Annotated[
        str, typer.Option(metavar="NAMES", help="Ways of balancing: fixed,uncertainty.")
    ] = "fixed",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each model; five tell seed noise apart.")] = 3,
    twin_learning_rates: Annotated[
        str, typer.Option(metavar="MULTIPLES", help="Tunes the twins: 0.5,1,2 of the scenario's rates.")
    ] = "1",
    twin_widths: Annotated[
        str, typer.Option(metavar="MULTIPLES", help="Tunes the twins: 1,2 of the scenario's widths.")
    ] = "1",
    twin_penalties: Annotated[
        str, typer.Option(metavar="MULTIPLES", help="Tunes the twins: 0.25,1 of the factorisation's penalty.")
    ] = "1",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Trains each way of sharing with each balancing, and one model per task, and says what sharing gains.

    On the examples that the night of the date has built. Finished runs are kept: a comparison that was killed
    goes on where it was, one with more names trains only those. Tables are left alone. Of twins with several
    settings the best of each task on the judging rows counts.
    """
    log_in_background()
    with clear_errors():
        from jobs.compare.combinations import Tuning, list_combinations
        from jobs.compare.train_runs import hold_comparison, plan_runs, train_runs
        from jobs.compare.transfer import compare_runs
        from jobs.compare.write_page import write_page
        from jobs.stage import make_run

        run = make_run(scenario, date.date())
        tunings = [
            Tuning(rate, width, penalty)
            for rate in _multiples("--twin-learning-rates", twin_learning_rates)
            for width in _multiples("--twin-widths", twin_widths)
            for penalty in _multiples("--twin-penalties", twin_penalties)
        ]
        ways, methods = _names(sharing), _names(balancing)
        combinations = list_combinations(run.scenario.model, ways, methods, seeds, tunings)
        lake = open_lake(scenario)
        with hold_comparison(run):
            plan = plan_runs(run, lake, combinations)
            _print_plan(plan)
            train_runs(run, plan, _print_progress)
            rows = compare_runs(plan.runs)
            page = write_page(run, plan.runs, rows)
    print_rows(rows, as_json)
    Console(stderr=True, soft_wrap=True).print(f"page  {page}", highlight=False)


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _multiples(option: str, text: str) -> list[float]:
    try:
        multiples = [float(name) for name in _names(text)]
    except ValueError:
        multiples = []
    if not multiples or not all(0 < multiple < math.inf for multiple in multiples):
        raise ValueError(f"{option} must be numbers above 0, such as 0.5,1,2, got {text!r}")
    return multiples


def _print_plan(plan: "Plan") -> None:
    """To standard error: what is printed to standard output is the result."""
    console = Console(stderr=True, soft_wrap=True)
    for run in plan.runs:
        mark = "[green]✓[/] " if run.is_finished else "  "
        console.print(f"{mark}{run.combination.name}", highlight=False)
    to_do = len(plan.to_do)
    seconds = plan.seconds_per_run
    each = f"about {_duration(seconds)} each" if seconds else "how long is known after the first"
    total = f", {_duration(seconds * to_do)} in all" if seconds and to_do else ""
    console.print(
        f"{to_do} of {len(plan.runs)} models to train on {plan.example_count:,} examples: {each}{total}",
        highlight=False,
    )


def _print_progress(run: "PlannedRun", number: int, total: int) -> None:
    Console(stderr=True, soft_wrap=True).print(f"[{number}/{total}] {run.combination.name}", markup=False)


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    from jobs.compare.combinations import describe_tuning

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in _COLUMNS:
        is_text = column in {*_WORDS, "verdict", "twin's settings"}
        table.add_column(column, justify="left" if is_text else "right")
    for row in rows:
        words = [f"{row['sharing']}, {row['balancing']}", row["task"], row["metric"]]
        means = ["" if row[name] is None else f"{row[name]:.4f}" for name in ("mean", "twin")]
        interval = f"{100 * row['gain_low']:+.2f} to {100 * row['gain_high']:+.2f}"
        gain = [f"{100 * row['gain']:+.2f} %", interval, row["verdict"]]
        sizes = [_beside(row, name) for name in ("log_loss", "calibration")]
        tuning = describe_tuning(row["twin_tuning"]) if row["twin_tuning"] else ""
        table.add_row(*words, *means, *gain, *sizes, tuning)
    console = Console(width=max(Console().width, _WIDTH))
    console.print(table)
    console.print(_cost_table(rows))


def _beside(row: Mapping[str, Any], name: str) -> str:
    """The joint model's and the twin's, where the task has such a metric."""
    values = [row[name], row[f"twin_{name}"]]
    return "" if None in values else " / ".join(f"{value:.4f}" for value in values)


def _cost_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(1, 2, 0, 0))
    for column in _COSTS:
        table.add_column(column, justify="left" if column == "model" else "right")
    for row in {(row["sharing"], row["balancing"]): row for row in rows}.values():
        parameters = [f"{row[name]:,}" for name in ("parameters", "twin_parameters")]
        speeds = [f"{row[name]:,.0f}" for name in ("rows_per_second", "twin_rows_per_second")]
        table.add_row(f"{row['sharing']}, {row['balancing']}", *parameters, *speeds)
    return table


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
