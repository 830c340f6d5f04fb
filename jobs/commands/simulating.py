"""The command that makes a log: simulate."""

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from jobs.commands.options import DATE_FORMATS, clear_errors

if TYPE_CHECKING:
    from jobs.simulator.config import SimulationConfig
    from jobs.simulator.plan import SimulationPlan

_POLL_SECONDS = 0.5


def simulate(
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the log goes; a new or empty folder.")],
    users: Annotated[str, typer.Option(metavar="N", help="Users: 2000, 300k, 1m.")] = "2000",
    items: Annotated[str, typer.Option(metavar="N", help="Items, at least 100.")] = "5000",
    days: Annotated[int, typer.Option(help="Days of the log.")] = 14,
    events: Annotated[str, typer.Option(metavar="N", help="Events in all, about: 200k, 100m.")] = "200k",
    seed: Annotated[int, typer.Option(help="Another seed, another world.")] = 1,
    first_day: Annotated[
        datetime, typer.Option(formats=DATE_FORMATS, metavar="DAY", help="The first day of the log.")
    ] = datetime(2024, 1, 1),  # noqa: DTZ001
    label_window_days: Annotated[int, typer.Option(help="How long the truth waits for a purchase.")] = 7,
    file_format: Annotated[str, typer.Option("--format", help="parquet, csv or jsonl.")] = "parquet",
    faults: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Shares of the events: duplicates, late, future, broken; days: new-column, price-as-text.",
        ),
    ] = "",
    heavy_user: Annotated[float, typer.Option(metavar="SHARE", help="Of all events, by one user.")] = 0.0,
    hot_item: Annotated[
        float, typer.Option(metavar="SHARE", help="Of the sessions, shown one item first.")
    ] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older simulation.")] = False,
) -> None:
    """Makes the log of a marketplace that does not exist, at any size, with its true probabilities beside it.

    The same options give the same rows, on any number of cores.
    """
    with clear_errors():
        config = _read_config(
            {
                "users": users, "items": items, "days": days, "events": events, "seed": seed,
                "first_day": first_day.date(), "label_window_days": label_window_days,
                "format": file_format, "heavy_user_share": heavy_user, "hot_item_share": hot_item,
            },
            faults,
        )  # fmt: skip
        _simulate(config, to, overwrite)


def _read_config(options: dict[str, Any], faults: str) -> "SimulationConfig":
    """Checks the options.

    Raises:
        ConfigError: with a line for each option that is wrong.
    """
    from pydantic import ValidationError

    from jobs.config import ConfigError
    from jobs.simulator.config import SimulationConfig, parse_count, parse_faults

    try:
        for name in ("users", "items", "events"):
            options[name] = parse_count(options[name])
        return SimulationConfig.model_validate({**options, "faults": parse_faults(faults)})
    except ValidationError as error:
        raise ConfigError([_problem(problem) for problem in error.errors()]) from error
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def _problem(problem: Any) -> str:
    option = ".".join(str(key).replace("_", "-") for key in problem["loc"])
    found = "" if isinstance(problem["input"], dict) else f", got {problem['input']}"
    return f"{option or 'options'}: {problem['msg'].removeprefix('Value error, ')}{found}"


def _simulate(config: "SimulationConfig", target: Path, overwrite: bool) -> None:
    from jobs.config import load_runtime
    from jobs.lake.spark import start_spark
    from jobs.simulator.landing import clear_target
    from jobs.simulator.plan import plan_simulation
    from jobs.simulator.simulate_logs import simulate_logs

    console = Console(soft_wrap=True, highlight=False)
    plan = plan_simulation(config)
    clear_target(target, overwrite, plan.size_bytes)
    _print_plan(console, config, plan, target)
    started = time.monotonic()
    spark = start_spark(load_runtime())
    with ThreadPoolExecutor(max_workers=1) as thread:
        job = thread.submit(simulate_logs, spark, config, plan, target)
        _show_progress(plan.user_tasks * config.days, target, job)
    rows, seconds = sum(job.result()["landed"].values()), time.monotonic() - started
    console.print(f"wrote {rows:,} event rows in {seconds:.0f} s, {rows / seconds:,.0f} a second")
    console.print(f"manifest  {target / 'manifest.json'}", markup=False)


def _print_plan(console: Console, config: "SimulationConfig", plan: "SimulationPlan", target: Path) -> None:
    gigabytes = plan.size_bytes / 1e9
    console.print(f"about {gigabytes:,.2f} GB in {target}, from {config.first_day} to {config.last_day}:")
    for folder, content in (
        ("events", f"{plan.event_rows:,} rows in {plan.event_folders} landing days, {config.format}"),
        ("truth", f"{plan.truth_rows:,} impressions in {config.days} days: no feature may read it"),
        ("users", f"{config.users:,} rows"),
        ("items", f"{config.items:,} rows"),
        ("promotions", "coupons by item and week; campaign_members: whom they target"),
    ):
        console.print(f"  {folder:<11} {content}", markup=False)
    console.print(f"by {plan.user_tasks} tasks over users and {plan.item_tasks} over items", style="dim")


def _show_progress(total: int, target: Path, job: Future[dict[str, Any]]) -> None:
    from jobs.simulator.landing import count_finished

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("days of users", total=total)
        while not job.done():
            wait([job], timeout=_POLL_SECONDS)
            progress.update(bar, completed=count_finished(target))
