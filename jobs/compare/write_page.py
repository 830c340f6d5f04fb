"""A comparison's table and results -> one self-contained HTML file."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from jobs.compare.combinations import describe_tuning
from jobs.compare.judge_run import read_result
from jobs.compare.plots import Heat, cosine_heat, gain_plots, load_heat, pareto_scatters
from jobs.compare.train_runs import PlannedRun, comparison_folder
from jobs.config import ScenarioConfig
from jobs.stage import Run


def write_page(run: Run, runs: Sequence[PlannedRun], rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes comparisons/<scenario>/<date>/compare.html below the home, in one step."""
    cosines, loads = _heats(runs)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("compare.html.jinja").render(
        run=run,
        rows=rows,
        judged_on=describe_judging(run.scenario),
        seeds=len({planned.combination.seed for planned in runs}),
        gains=gain_plots(rows),
        costs=cost_rows(rows),
        tuning=describe_tuning,
        scatters=pareto_scatters(rows),
        cosines=cosines,
        loads=loads,
        version=version("nightshelf"),
        written_at=datetime.now(UTC),
    )
    path = comparison_folder(run) / "compare.html"
    partial = path.with_suffix(".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


def cost_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first row of each combination: all of its rows have the same cost."""
    return list({(row["sharing"], row["balancing"]): row for row in reversed(rows)}.values())[::-1]


def describe_judging(scenario: ScenarioConfig) -> str:
    """The rows that judge, which no model of a comparison has seen."""
    if folds := scenario.examples.folds:
        return f"one of {folds} folds of the examples"
    days = scenario.learn.validation_days
    return f"the newest {days} days of closed anchors" if days > 1 else "the newest day of closed anchors"


def _heats(runs: Sequence[PlannedRun]) -> tuple[list[Heat], list[Heat]]:
    """Cosines and loads of the first seed of each combination."""
    first_seed = min(planned.combination.seed for planned in runs)
    cosines, loads = [], []
    for planned in runs:
        made = planned.combination
        if made.twin_of or made.seed != first_seed:
            continue
        result, title = read_result(planned.folder), f"{made.sharing}, {made.balancing}"
        tasks = [task.name for task in planned.spec.model.tasks]
        cosines.append(cosine_heat(title, tasks, result.cosines))
        if result.expert_loads:
            loads.append(load_heat(title, result.expert_loads))
    return cosines, loads
