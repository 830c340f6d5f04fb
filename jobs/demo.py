"""The demo: one real night, a household's shelf beside what it bought in the week after, a comparison."""

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table

from jobs.backtest.run_backtest import METHODS, bought_after, publication_of, run_backtest
from jobs.features.categories import item_levels
from jobs.lake.spark import start_spark
from jobs.logs.tables import ITEMS
from jobs.nightly import run_night
from jobs.publish.shelves import read_shelf
from jobs.stage import Run, make_run

SCENARIO, NIGHT = "grocery", date(2017, 12, 2)
_FULL_WEEK = 15  # products
_NAMES = {
    "joint": "Nightshelf, joint model",
    "own_half_life_90d": "own purchases, 90-day half-life",
    "own_frequency": "own purchases, all equal",
    "popular_28d": "popular in 28 days",
}


def run_demo() -> None:
    """Runs the night unless it is published, and prints what it is worth."""
    console = Console()
    run = make_run(SCENARIO, NIGHT)
    if publication_of(run) is None:
        console.print(
            f"[bold]Night of {NIGHT}[/]: one year of 2,469 real households, from log files to shelves"
        )
        run_night(SCENARIO, NIGHT)
    _print_shelf(console, run)
    _print_comparison(console)
    report = run.home / "reports" / SCENARIO / f"{NIGHT}.html"
    console.print(f"\nReport: {report}")
    console.print('Next: nightshelf show --user 7 · nightshelf query "SELECT * FROM recommendations LIMIT 5"')


def _print_shelf(console: Console, run: Run) -> None:
    """The shelf of the first household by number that did a full week of shopping after it."""
    spark, lake = start_spark(run.runtime), run.lake()
    bought = bought_after(spark, run).cache()
    full_week = bought.groupBy("user_id").count().where(F.col("count") >= _FULL_WEEK)
    household = full_week.orderBy(F.length("user_id"), "user_id").first()
    publication = publication_of(run)
    if household is None or publication is None:
        raise ValueError(f"no household shopped for a week after {NIGHT}, or the night is not published")
    user = household.user_id
    basket = _with_titles(bought.where(F.col("user_id") == user), item_levels(lake.read(spark, ITEMS)))
    shelf = read_shelf(lake, user, NIGHT, publication.snapshots)
    table = Table(
        title=f"Household {user}: its shelf, and what it bought in the next seven days", title_justify="left"
    )
    for column in ("", "on the shelf", "why", "bought in the week after"):
        table.add_column(column)
    others = [title for item, title in basket.items() if item not in {row["item_id"] for row in shelf.items}]
    for index in range(max(len(shelf.items), min(len(others), 15))):
        row = shelf.items[index] if index < len(shelf.items) else None
        mark = "[green]✓[/]" if row and row["item_id"] in basket else ""
        table.add_row(
            mark,
            row["title"] or row["item_id"] if row else "",
            row["reason"] if row else "",
            others[index] if index < len(others) else "",
        )
    console.print(table)
    found = sum(row["item_id"] in basket for row in shelf.items)
    console.print(
        f"✓ {found} of {len(shelf.items)} on the shelf were bought; so were {len(others)} others.\n"
    )


def _with_titles(bought: DataFrame, levels: DataFrame) -> dict[str, str]:
    """item_id -> title of one household's purchases."""
    rows = (
        bought.join(levels, "item_id", "left")
        .select("item_id", "title")
        .orderBy("title", "item_id")
        .collect()
    )
    return {row.item_id: row.title or row.item_id for row in rows}


def _print_comparison(console: Console) -> None:
    rows = [
        row
        for row in run_backtest(SCENARIO, [NIGHT])
        if row["segment"] == "all" and row["date"] == str(NIGHT)
    ]
    table = Table(
        title="All households that bought in the week after (10 products each)", title_justify="left"
    )
    for column in ("ranking", "NDCG@10", "recall@10", "hit@10", "NDCG above half-life, 95%"):
        table.add_column(column, justify="left" if column == "ranking" else "right")
    for row in sorted(rows, key=lambda row: METHODS.index(row["method"])):
        interval = "" if row["ci_low"] is None else f"{row['ci_low']:+.4f} to {row['ci_high']:+.4f}"
        scores = [f"{row[name]:.4f}" for name in ("ndcg@10", "recall@10", "hit@10")]
        table.add_row(_NAMES[row["method"]], *scores, interval)
    console.print(table)
