"""Commands that look before anything runs: doctor, validate, plan."""

import typer
from rich.console import Console
from rich.markup import escape

from jobs.commands.options import DEFAULT_SCENARIO, RunDate, Scenario, clear_errors
from jobs.exit_codes import EXIT_FAILED


def doctor() -> None:
    """Checks this machine: Python, Java, disk, memory, the UI's port, packages, bf16; says each fix."""
    from jobs.commands.machine import check_machine

    console = Console(soft_wrap=True)
    checks = check_machine()
    for check in checks:
        mark = "[green]✓[/]" if check.is_ok else ("[red]✗[/]" if check.is_needed else "[yellow]![/]")
        console.print(f"{mark} {check.name:<10} {escape(check.found)}", highlight=False)
        if not check.is_ok:
            console.print(f"  {'':<10} [bold]fix:[/] {escape(check.fix)}", highlight=False)
    if any(check.is_needed and not check.is_ok for check in checks):
        raise typer.Exit(EXIT_FAILED)


def validate(scenario: Scenario = DEFAULT_SCENARIO) -> None:
    """Reports every error of a scenario at once: file, line, key and the nearest valid key. Starts no JVM."""
    from jobs.config import ConfigError, load_runtime, load_scenario

    problems: list[str] = []
    for load in (lambda: load_scenario(scenario), load_runtime):
        try:
            load()
        except ConfigError as error:
            problems += error.problems
    with clear_errors():
        if problems:
            raise ConfigError(problems)
    Console().print(f"[green]✓[/] {scenario} is valid", highlight=False)


def plan(date: RunDate, scenario: Scenario = DEFAULT_SCENARIO) -> None:
    """Tells what a run would read, write and build, and because of which settings. Touches nothing."""
    from jobs.commands.planning import plan_run

    with clear_errors():
        planned = plan_run(scenario, date.date())
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]{planned.scenario} {planned.day}[/], nothing is touched by this plan")
    console.print(f"  home {escape(str(planned.home))}\n  log  {escape(planned.log)}")
    for step in planned.steps:
        console.print(f"[bold]{step.stage:<10}[/] {step.days}")
        console.print(f"  [dim]reads[/]  {', '.join(step.reads)}\n  [dim]writes[/] {', '.join(step.writes)}")
        for days in step.builds:
            console.print(f"  [dim]builds[/] {escape(str(days))}")
