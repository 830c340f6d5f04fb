"""Commands that read what there is: features, and what has been published: tables, query, show, lineage."""

import csv
import json
import sys
from datetime import date as Day
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.commands.options import (
    DATE_FORMATS,
    DEFAULT_SCENARIO,
    Format,
    RunDate,
    Scenario,
    clear_errors,
    open_lake,
)

if TYPE_CHECKING:
    from jobs.publish.query import Answer
    from jobs.publish.shelves import Shelf

_SHOWN_ROWS = 1000


def tables(scenario: Scenario = DEFAULT_SCENARIO) -> None:
    """Lists the tables: rows, days, and what each is for. docs/tables.md has their columns."""
    with clear_errors():
        from jobs.commands.table_list import list_tables
        from jobs.config import load_scenario
        from jobs.stages import all_tables

        meanings = {table.name: table.meaning for table in all_tables(load_scenario(scenario))}
        listed = list_tables(open_lake(scenario))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading, justify in (("table", "left"), ("rows", "right"), ("days", "right"), ("newest", "left")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type] # rich's own literal
    table.add_column("what it holds")
    for row in listed:
        newest = str(row.newest_day or "")
        table.add_row(row.name, f"{row.rows:,}", f"{row.days:,}", newest, meanings.get(row.name, ""))
    Console().print(table)


def features(scenario: Scenario = DEFAULT_SCENARIO) -> None:
    """Lists every feature: entity, days it looks back, meaning, and share of nulls on the newest day."""
    with clear_errors():
        from jobs.commands.feature_list import list_features
        from jobs.config import load_scenario

        config = load_scenario(scenario)
        try:
            lake = open_lake(scenario)
        except ValueError:  # nothing has been built yet: no shares of nulls
            lake = None
        listed = list_features(config, lake)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("entity", "feature", "days", "null"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what it means")
    for row in listed:
        share = "" if row.null_share is None else f"{row.null_share:.1%}"
        table.add_row(row.entity, row.name, row.window, share, row.meaning)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def query(
    sql: Annotated[str, typer.Argument(metavar="SELECT", help="One SELECT, in DuckDB's SQL.")],
    format: Annotated[
        Format | None, typer.Option(help="By default a table on a terminal, CSV elsewhere.")
    ] = None,
    scenario: Scenario = DEFAULT_SCENARIO,
) -> None:
    """Answers SQL over the published tables; it can read nothing else and write nothing.

    A table's plain name holds all published days, latest_NAME the newest. `nightshelf tables` lists them.
    """
    chosen = format or (Format.TABLE if sys.stdout.isatty() else Format.CSV)
    with clear_errors():
        from jobs.publish.query import run_query

        _print_answer(run_query(open_lake(scenario), sql), chosen)


def show(
    user: Annotated[str, typer.Option("--user", "-u", help="A user's id.")],
    date: Annotated[
        datetime | None,
        typer.Option(
            "--date",
            "-d",
            formats=DATE_FORMATS,
            metavar="DAY",
            help="A published day; by default the newest.",
        ),
    ] = None,
    scenario: Scenario = DEFAULT_SCENARIO,
) -> None:
    """Prints a user's shelf as a person reads it: what, why, and how likely."""
    with clear_errors():
        from jobs.publish.publications import read_publications, visible_publications
        from jobs.publish.shelves import read_shelf

        lake = open_lake(scenario)
        published = visible_publications(read_publications(lake))
        day = date.date() if date else max(published, default=None)
        if day is None or day not in published:
            known = ", ".join(map(str, list(published)[-10:])) or "none"
            raise ValueError(f"nothing is published for {day or 'any day'}; published days: {known}")
        shelf = read_shelf(lake, user, day, published[day].snapshots)
    _print_shelf(shelf, day)


def lineage(
    date: RunDate,
    table: Annotated[
        str, typer.Option("--table", "-t", help="A table: recommendations.")
    ] = "recommendations",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    scenario: Scenario = DEFAULT_SCENARIO,
) -> None:
    """Walks from a table's day back to the log: which run and config made it, from which snapshots."""
    with clear_errors():
        from jobs.publish.lineage import as_tree, trace

        ancestor = trace(open_lake(scenario), table, date.date())
    if as_json:
        typer.echo(json.dumps(ancestor.to_json(), indent=2))
    else:
        width = None if sys.stdout.isatty() else 200
        Console(width=width).print(as_tree(ancestor), highlight=False)


def digest(
    date: RunDate,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    scenario: Scenario = DEFAULT_SCENARIO,
) -> None:
    """Digests what each table holds up to a night, and its models' weights: equal digests, equal content.

    Names of runs, clocks, paths and the order of rows do not count; of output tables, published rows do.
    """
    with clear_errors():
        from jobs.publish.content_digest import digest_night

        digests = digest_night(open_lake(scenario), date.date())
    if as_json:
        typer.echo(json.dumps({found.name: found.digest for found in digests}, indent=2))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading, justify in (("table", "left"), ("rows", "right"), ("digest", "left")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type] # rich's own literal
    for found in digests:
        table.add_row(found.name, f"{found.rows:,}" if found.rows else "", found.digest)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _print_answer(answer: "Answer", chosen: Format) -> None:
    if chosen is Format.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows([_as_text(value) for value in row] for row in answer.rows)
    elif chosen is Format.JSON:
        for row in answer.rows:
            typer.echo(_as_json(dict(zip(answer.columns, row, strict=True))))
    else:
        _print_table(answer)


def _print_table(answer: "Answer") -> None:
    table = Table(*answer.columns, box=None, padding=(0, 2, 0, 0))
    count = 0
    for row in answer.rows:
        count += 1
        if count <= _SHOWN_ROWS:
            table.add_row(*(Text(_as_text(value)) for value in row))
    console = Console()
    console.print(table)
    if count > _SHOWN_ROWS:
        console.print(f"the first {_SHOWN_ROWS:,} of {count:,} rows; --format csv prints all", style="dim")


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return _as_json(value) if isinstance(value, list | dict) else str(value)


def _as_json(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _print_shelf(shelf: "Shelf", day: Day) -> None:
    console = Console()
    console.print(f"[bold]User {shelf.user_id}[/], the night of {day}", highlight=False)
    if shelf.profile:
        spend = (shelf.profile["spend_28d"] or 0) / 100
        baskets = shelf.profile["basket_count_28d"] or 0
        console.print(f"[dim]{baskets} baskets and {spend:.2f} spent in 28 days[/]", highlight=False)
    items = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("#", "item", "why", "chance"):
        items.add_column(heading, justify="right" if heading in {"#", "chance"} else "left")
    for row in shelf.items:
        chance = "" if row["p_purchase"] is None else f"{row['p_purchase']:.1%}"
        texts = (str(row["rank"]), row.get("title") or row["item_id"], row["reason"] or "", chance)
        items.add_row(*map(Text, texts))
    console.print(items)
    for coupon in shelf.coupons:
        console.print(f"coupon {coupon['coupon_id']}: {coupon['reason']}", markup=False, highlight=False)
