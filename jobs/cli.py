"""The command `nightshelf`: every subcommand, with the examples that its --help shows.

What a command needs (Spark, torch, DuckDB) is imported when it runs, so that --help answers at once.
"""

from collections.abc import Callable

import typer

from jobs.commands.checking import doctor, plan, validate
from jobs.commands.comparing import compare
from jobs.commands.proving import backtest, demo
from jobs.commands.reading import digest, features, lineage, query, show, tables
from jobs.commands.running import backfill, repair, report, rollback, run
from jobs.commands.simulating import simulate

COMMANDS: dict[Callable[..., None], tuple[str, ...]] = {
    doctor: ("nightshelf doctor",),
    validate: ("nightshelf validate --scenario grocery", "nightshelf validate --scenario ./my_shop.yaml"),
    plan: ("nightshelf plan --scenario grocery --date 2017-12-02",),
    run: (
        "nightshelf run --scenario grocery --date 2017-12-02",
        "nightshelf run --scenario grocery --date 2017-12-02 --from-stage publish",
    ),
    backfill: ("nightshelf backfill --scenario grocery --from 2017-11-01 --to 2017-11-30",),
    repair: ("nightshelf repair --scenario grocery --date 2017-12-02",),
    features: ("nightshelf features --scenario taobao",),
    tables: ("nightshelf tables",),
    query: (
        'nightshelf query "SELECT * FROM latest_recommendations WHERE rank = 1 LIMIT 5"',
        'nightshelf query "SELECT ds, count(*) AS shelves FROM recommendations GROUP BY ds" --format json',
        'nightshelf query "FROM latest_user_profiles" > profiles.csv',
    ),
    show: ("nightshelf show --user 2375", "nightshelf show --user 2375 --date 2017-12-02"),
    lineage: (
        "nightshelf lineage --table recommendations --date 2017-12-02",
        "nightshelf lineage --table recommendations --date 2017-12-02 --json",
    ),
    digest: (
        "nightshelf digest --scenario grocery --date 2017-12-02",
        "nightshelf digest --scenario grocery --date 2017-12-02 --json > before.json",
    ),
    rollback: (
        'nightshelf query "SELECT ds, run_id, published_at FROM publications ORDER BY published_at"',
        "nightshelf rollback --to grocery-2017-12-02-1f3a9c07",
    ),
    report: ("nightshelf report --date 2017-12-02",),
    backtest: (
        "nightshelf backtest --scenario grocery --dates 2017-12-02,2017-12-09",
        "nightshelf backtest --scenario grocery --dates 2017-12-02 --json",
    ),
    compare: (
        "nightshelf compare --date 2017-12-02 --sharing shared_bottom,mmoe,ple --seeds 5",
        "nightshelf compare --date 2017-12-02 --sharing mmoe --balancing fixed,uncertainty,pcgrad --json",
    ),
    demo: ("nightshelf demo",),
    simulate: (
        "nightshelf simulate --to shop_log",
        "nightshelf simulate --users 1m --items 500k --days 30 --events 100m --seed 7 --to shop_log",
        "nightshelf simulate --faults duplicates=0.01,late=0.02,future=0.001,broken=0.002 --to faulty_log",
        "nightshelf simulate --faults new-column=2024-01-08 --heavy-user 0.1 --hot-item 0.5 --to odd_log",
    ),
}

app = typer.Typer(
    help="From last night's behaviour logs to tonight's recommendations, as tables that anyone can query.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="First time here?  nightshelf doctor,  then  make demo.",
)

for command, examples in COMMANDS.items():
    escaped = [example.replace("[", r"\[") for example in examples]
    app.command(epilog="\n\n".join(["[bold]Examples[/]", *escaped]))(command)


if __name__ == "__main__":
    app()
