"""What the report tells of a run, from the tables and the model's folder; nothing here needs to exist."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow.compute as pc

from jobs.lake.lake import Lake
from jobs.publish.records import Row, read_rows, scan_rows
from jobs.publish.shelves import Shelf, sample_shelves
from jobs.stage import Run
from mtl_model.evaluation.config import ALL_ROWS

_SHOWN_METRICS = (
    "auc", "auc_low", "auc_high", "gauc", "pr_auc", "f1", "recall_at_10", "ndcg_at_10", "log_loss",
    "normalised_entropy", "calibration", "expected_calibration_error", "normalised_gini", "decile_bias",
    "mean_absolute_error", "root_mean_squared_error", "accuracy",
)  # fmt: skip
_RANKING_METRICS = ("auc", "normalised_gini", "root_mean_squared_error", "log_loss")  # a task's is its first
_RECALL_DAYS = timedelta(days=7)
_SHOWN_FIELDS = 10
_CHECK_DAYS = timedelta(days=30)


@dataclass(frozen=True)
class Night:
    """One run, as the report shows it; what is missing is empty."""

    run: Run
    publication: Row | None
    stages: Sequence[Row]
    checks: Sequence[Row]
    check_history: Mapping[str, Sequence[float]]
    books: Sequence[Row]
    reasons: Sequence[Row]
    recall: Sequence[Row]
    model: Row | None
    history: Sequence[Row]
    judged: Mapping[str, Row]
    metrics: Sequence[Row]
    slices: Sequence[Row]
    attributions: Mapping[str, Sequence[Row]]
    importance: Mapping[str, Sequence[Row]]
    gains: Sequence[Row]
    failed_diagnostics: Sequence[Row]
    shelves: Sequence[Shelf]

    @property
    def failed_stage(self) -> Row | None:
        return next((stage for stage in self.stages if stage["status"] != "succeeded"), None)

    @property
    def not_compared(self) -> str | None:
        """What of the serving model could not be compared; the registry of an older version does not say."""
        return self.model.get("not_compared") if self.model else None

    @property
    def lacks_comparison(self) -> bool:
        """Whether a model served that could not be compared by the metric that decides on the promotion."""
        rule = self.run.scenario.learn.promotion
        return self.not_compared is not None and not any(
            "serving" in row
            for row in self.metrics
            if (row["task"], row["metric"]) == (rule.task, rule.metric)
        )


def collect_night(run: Run, lake: Lake) -> Night:
    today = (run.date, run.date)

    def of_run(table: str) -> list[Row]:
        return [row for row in read_rows(lake, table, today) if row.get("run_id") == run.run_id]

    model = next(iter(of_run("model_runs")), None)

    def of_model(table: str) -> list[Row]:
        """Of the model itself, or of the one that it carries on; of the last run that has measured it."""
        version = model and (model["warm_started_from"] or model["model_version"])
        rows = [
            row for row in read_rows(lake, table, (date.min, run.date)) if row["model_version"] == version
        ]
        runs = {row["run_id"] for row in rows}
        measured_by = run.run_id if run.run_id in runs else max(runs, default=None)
        return [row for row in rows if row["run_id"] == measured_by]

    task_metrics = of_run("task_metrics")
    folder = run.home / "models" / run.scenario.name / (model["model_version"] if model else "-")
    history, judged = folder / "history.jsonl", folder / "metrics.json"
    publications = [row for row in of_run("publications") if row["kind"] == "published"]
    return Night(
        run=run,
        publication=publications[-1] if publications else None,
        stages=sorted(of_run("run_stages"), key=lambda stage: stage["started_at"]),
        checks=of_run("quality_checks"),
        check_history=read_check_history(lake, run.date),
        books=read_books(lake, run.date),
        reasons=count_reasons(lake, run.date),
        recall=read_recall(lake, run.date),
        model=model,
        history=[json.loads(line) for line in history.read_text().splitlines()] if history.is_file() else [],
        judged=json.loads(judged.read_text()) if judged.is_file() else {},
        metrics=compare_models(task_metrics),
        slices=compare_slices(task_metrics, [part.name for part in run.scenario.model.slices]),
        attributions=rank_attributions(of_model("field_attributions")),
        importance=rank_fields(of_model("field_importance")),
        gains=read_gains(lake, run),
        failed_diagnostics=[row for row in of_run("diagnostics") if row["status"] == "failed"],
        shelves=sample_shelves(lake, run),
    )


def read_check_history(lake: Lake, day: date) -> dict[str, list[float]]:
    """What each check found in the nights of the last weeks, oldest first."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in sorted(read_rows(lake, "quality_checks", (day - _CHECK_DAYS, day)), key=lambda row: row["ds"]):
        if row["value"] is not None:
            found[row["check"]].append(row["value"])
    return found


def read_books(lake: Lake, day: date) -> list[Row]:
    """Per source: rows read, kept and so on, on the day and in the log so far."""
    books = scan_rows(lake, "ingest_counts", (date.min, day))
    if books is None:
        return []
    measures = ("read", "kept", "duplicate", "late_held", "quarantined", "filtered")
    rows = []
    for period, part in (("of the day", books.filter(pc.field("ds") == day)), ("so far", books)):
        sums = part.group_by("source").aggregate([(name, "sum") for name in measures]).sort_by("source")
        for row in sums.to_pylist():
            counts = {name: row[f"{name}_sum"] or 0 for name in measures}  # null where days are older
            rows.append({"period": period, "source": row["source"], **counts})
    return rows


def count_reasons(lake: Lake, day: date) -> list[Row]:
    """Quarantined rows so far by reason, most frequent first."""
    rows = scan_rows(lake, "quarantine", (date.min, day), columns=("source", "reason"))
    if rows is None:
        return []
    counts = rows.group_by(["source", "reason"]).aggregate([([], "count_all")])
    return sorted(counts.to_pylist(), key=lambda row: (-row["count_all"], row["reason"]))


def read_recall(lake: Lake, day: date) -> list[Row]:
    """Per channel: what was bought after the newest anchors whose label window has closed, and found."""
    rows = scan_rows(lake, "candidate_recall", (date.min, day))
    if rows is None or not rows.num_rows:
        return []
    newest = pc.max(rows["ds"]).as_py()
    week = rows.filter(pc.field("ds") > newest - _RECALL_DAYS)
    sums = week.group_by("channel").aggregate([("bought_count", "sum"), ("found_count", "sum")])
    channels = [
        {
            "channel": row["channel"],
            "bought": row["bought_count_sum"],
            "found": row["found_count_sum"],
            "recall": row["found_count_sum"] / row["bought_count_sum"] if row["bought_count_sum"] else None,
        }
        for row in sums.to_pylist()
    ]
    return sorted(channels, key=lambda row: (row["channel"] == "union", -row["found"], row["channel"]))


def compare_models(task_metrics: Iterable[Row]) -> list[Row]:
    """One row per task and metric over all rows: tonight's model, the serving one and the constant."""
    rows: dict[tuple[str, str], Row] = defaultdict(dict)
    for row in task_metrics:
        value = row["value"]
        if row.get("slice") not in {None, ALL_ROWS}:  # None: recorded before there were slices
            continue
        if row["metric"] in _SHOWN_METRICS and value is not None and not math.isnan(value):
            rows[row["task"], row["metric"]][row["role"]] = value
            rows[row["task"], row["metric"]].setdefault("example_count", row["example_count"])
    tasks = list(dict.fromkeys(task for task, _ in rows))
    return [
        {"task": task, "metric": metric, **rows[task, metric]}
        for task in tasks
        for metric in _SHOWN_METRICS
        if (task, metric) in rows
    ]


def compare_slices(task_metrics: Iterable[Row], slices: Sequence[str]) -> list[Row]:
    """Tonight's model on each slice and on all rows: each task's first ranking metric, and its calibration.

    A slice without a labelled row is left out; one on which the metric is not defined has no value.
    """
    values: dict[tuple[str, str], dict[str, Row]] = defaultdict(dict)
    for row in task_metrics:
        if row["role"] == "candidate":
            values[row["task"], row["metric"]][row.get("slice") or ALL_ROWS] = row
    shown = []
    for task in dict.fromkeys(task for task, _ in values):
        ranking = [metric for metric in _RANKING_METRICS if (task, metric) in values][:1]
        shown += [(task, metric) for metric in (*ranking, "calibration") if (task, metric) in values]
    return [
        {
            "task": task,
            "metric": metric,
            "slice": part,
            "whole": values[task, metric].get(ALL_ROWS, {}).get("value"),
            "value": values[task, metric][part]["value"],
            "example_count": values[task, metric][part]["example_count"],
        }
        for task, metric in shown
        for part in slices
        if part in values[task, metric]
    ]


def read_gains(lake: Lake, run: Run) -> list[Row]:
    """Over the twins: tonight's, else those of the last night before that has measured them."""
    rows = read_rows(lake, "twin_gains", (date.min, run.date))
    newest = max(((row["ds"], row["run_id"] == run.run_id, row["run_id"]) for row in rows), default=None)
    return [row for row in rows if newest and (row["ds"], row["run_id"]) == (newest[0], newest[2])]


def rank_attributions(field_attributions: Iterable[Row]) -> dict[str, list[Row]]:
    """The fields that add most to each task's scores, with their share of the most."""
    by_task: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(field_attributions, key=lambda row: (-row["mean_absolute"], row["field"])):
        by_task[row["task"]].append(row)
    return {
        task: [
            {**row, "share": row["mean_absolute"] / (rows[0]["mean_absolute"] or 1)}
            for row in rows[:_SHOWN_FIELDS]
        ]
        for task, rows in sorted(by_task.items())
    }


def rank_fields(field_importance: Iterable[Row]) -> dict[str, list[Row]]:
    """The fields that each task's metric loses most without, with their share of the largest loss."""
    by_task: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(field_importance, key=lambda row: (-row["loss"], row["field"])):
        by_task[row["task"]].append(row)
    return {
        task: [{**row, "share": max(row["loss"], 0) / (rows[0]["loss"] or 1)} for row in rows[:_SHOWN_FIELDS]]
        for task, rows in sorted(by_task.items())
        if rows[0]["loss"] > 0
    }
