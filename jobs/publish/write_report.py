"""A run's tables -> one self-contained HTML file: what happened tonight, and what users get.

It is written for failed runs too, and then says what is missing. The stage needs no Spark.
"""

import logging
import math
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import jinja2

from jobs.lake.lake import Lake
from jobs.publish.night import Night, collect_night
from jobs.publish.plots import Plot, calibration_plot, format_number, learning_curve, sparkline
from jobs.stage import RowCounts, Run, stage_main

logger = logging.getLogger(__name__)

# How far from 1 (calibration) a metric may be, or whether more is better, to be called better in the report.
_LESS_IS_BETTER = {
    "log_loss", "normalised_entropy", "expected_calibration_error", "decile_bias", "mean_absolute_error",
    "root_mean_squared_error",
}  # fmt: skip


def write_report(run: Run, lake: Lake) -> RowCounts:
    """Writes reports/<scenario>/<date>.html below the home, in one step; no table gets rows."""
    path = report_path(run)
    page = render(collect_night(run, lake))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(page, encoding="utf-8")
    Path(partial).replace(path)
    logger.info("report: %s", path)
    return {}


def report_path(run: Run) -> Path:
    return run.home / "reports" / run.scenario.name / f"{run.date}.html"


def render(night: Night) -> str:
    """The page; every text that comes from tables is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=format_number, best_role=best_role)
    return environment.get_template("report.html.jinja").render(
        night=night,
        run=night.run,
        status=describe_status(night),
        curves=learning_curves(night),
        calibrations=calibration_plots(night),
        no_gains=describe_missing_gains(night.run),
        longest=max((stage["seconds"] for stage in night.stages), default=0) or 1,
        sparkline=sparkline,
        version=version("nightshelf"),
        written_at=datetime.now(UTC),
    )


def describe_status(night: Night) -> tuple[str, str]:
    """(tone, text): what a reader must know first."""
    failed = night.failed_stage
    if failed:
        return "bad", f"{failed['stage']} failed; the tables published before keep serving"
    if night.publication is None:
        return "bad", "not published; the tables published before keep serving"
    if night.lacks_comparison:
        return "bad", "published, but tonight's model was not compared with the one that served: see Learning"
    warnings = sum(not check["passed"] for check in night.checks)
    found = [f"{warnings} check{'s' if warnings > 1 else ''} to look at"] if warnings else []
    if night.not_compared:
        found.append("a part of the serving model that could not be compared")
    if names := [str(failure["diagnostic"]).replace("_", " ") for failure in night.failed_diagnostics]:
        found.append(f"no {' and no '.join(names)}, which could not be measured")
    return ("warn", f"published, with {' and '.join(found)}") if found else ("good", "published")


def describe_missing_gains(run: Run) -> str:
    """Why no night has compared the model with twins yet."""
    twins = run.scenario.learn.twins
    if run.scenario.model.sharing.name == "single_task":
        return "Not measured: the tasks of this model share nothing."
    if twins is None:
        return (
            "Not measured: the scenario has no learn.twins. Such as {sample_rate: 0.3, every_days: 7} trains "
            "a twin of each task on three tenths of the rows, every seventh night."
        )
    nights = (run.date + timedelta(offset) for offset in range(1, twins.every_days + 1))
    due = next(night for night in nights if run.scenario.learn.has_twins_on(night))
    return f"Not measured yet: learn.twins asks for it each {twins.every_days} nights, next on {due}."


def learning_curves(night: Night) -> list[Plot]:
    """The loss of all tasks together, then each task's."""
    if not night.history:
        return []
    losses = {
        "all tasks, weighted": [row["loss"] for row in night.history],
        **{
            task: [row["task_losses"].get(task) or math.nan for row in night.history]  # null: no labelled row
            for task in night.history[-1]["task_losses"]
        },
    }
    steps = [row["step"] for row in night.history]
    return [learning_curve(title, list(zip(steps, values, strict=True))) for title, values in losses.items()]


def calibration_plots(night: Night) -> list[Plot]:
    curves = {task: judged.get("calibration_curve", []) for task, judged in night.judged.items()}
    plots = [calibration_plot(task, curve) for task, curve in curves.items()]
    return [plot for plot in plots if plot is not None]


def best_role(row: dict[str, float]) -> str | None:
    """Which of candidate, serving and constant has the best value of a row of the metrics table."""
    values = {role: row[role] for role in ("candidate", "serving", "constant") if role in row}
    if not values:
        return None
    metric = str(row["metric"])
    if metric == "calibration":
        return min(values, key=lambda role: abs(values[role] - 1))
    sign = -1 if metric in _LESS_IS_BETTER else 1
    return max(values, key=lambda role: sign * values[role])


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "report", write_report, argv)


if __name__ == "__main__":
    sys.exit(main())
