"""A trained model against the serving one and a constant -> task_metrics, its promotion, then diagnostics.

The new model is judged on examples whose label windows start after the last window that it was trained
on has closed. The serving model is judged on the same examples by the weights that it had before its own
refit, so that it has not seen them either. What the two do not have in common is left out of the comparison,
and a serving model that cannot be judged is as good as none: both are warned of and recorded. Needs no Spark.
"""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jobs.lake.lake import Lake
from jobs.learn.config import PromotionRule
from jobs.learn.diagnose_model import diagnose_model
from jobs.learn.registry import model_of_run, serving_model
from jobs.learn.tables import MODEL_RUNS, TASK_METRICS
from jobs.learn.train_model import models_folder, validation_files
from jobs.learn.training_days import plan_days
from jobs.stage import RowCounts, Run, stage_main
from mtl_model.evaluation.config import ALL_ROWS

logger = logging.getLogger(__name__)

Metrics = Mapping[str, Mapping[str, Any]]  # task -> metric -> value


def decide(candidate: Metrics, serving: Metrics | None, rule: PromotionRule) -> tuple[str, str]:
    """The new status of a model, promoted or rejected, and the reason in words."""
    metrics = candidate[rule.task]
    value, constant = metrics.get(rule.metric), (metrics.get("constant") or {}).get(rule.metric)
    name = f"{rule.metric} of {rule.task}"
    if value is None:
        return "rejected", f"{name} is not defined: no labelled examples of both kinds to judge on"
    floor = (constant if constant is not None else _CONSTANT[rule.metric]) + rule.min_gain_over_constant
    if value < floor:
        return (
            "rejected",
            f"{name} is {value:.4f}, below {floor:.4f}: the constant and min_gain_over_constant",
        )
    theirs = (serving or {}).get(rule.task, {}).get(rule.metric)
    none = "there is no model to compare with" if serving is None else "the serving model has none to compare"
    if theirs is not None and value < theirs - rule.max_loss_to_serving:
        return (
            "rejected",
            f"{name} is {value:.4f}, the serving model has {theirs:.4f}: more than max_loss_to_serving",
        )
    beside = f"the serving model has {theirs:.4f}" if theirs is not None else none
    return "promoted", f"{name} is {value:.4f}, {beside}"


_CONSTANT = {"auc": 0.5, "gauc": 0.5, "normalised_gini": 0.0}


def metric_rows(run: Run, version: str, role: str, metrics: Metrics) -> list[dict[str, Any]]:
    """One record per task, slice and metric that is a number or is not defined."""
    return [
        {
            "ds": run.date,
            "run_id": run.run_id,
            "model_version": version,
            "role": role,
            "task": task,
            "slice": part,
            "metric": name,
            "value": None if value is None else float(value),
            "example_count": int(values.get("rows") or 0),
        }
        for task, judged in sorted(metrics.items())
        for part, values in {ALL_ROWS: judged, **judged.get("slices", {})}.items()
        for name, value in sorted(values.items())
        if name != "rows" and (value is None or isinstance(value, int | float))
    ]


def evaluate_model(run: Run, lake: Lake) -> RowCounts:
    """Records the metrics of candidate, serving model and constant, and decides on the promotion.

    Diagnostics come last: whatever becomes of them, the model's status is on record.
    """
    model = model_of_run(lake, run.run_id, run.date)
    version = model["model_version"]
    candidate = json.loads((models_folder(run) / version / "metrics.json").read_text(encoding="utf-8"))
    rows = metric_rows(run, version, "candidate", candidate)
    rows += metric_rows(
        run,
        "constant",
        "constant",
        {task: values.get("constant") or {} for task, values in candidate.items()},
    )
    serving = judge_serving(run, lake, version)
    rows += metric_rows(run, serving.version or "", "serving", serving.metrics or {})
    status, reason = decide(candidate, serving.metrics, run.scenario.learn.promotion)
    logger.info("%s %s: %s", version, status, reason)
    lake.append(TASK_METRICS, rows, replacing={"run_id": run.run_id})
    outcome = {"status": status, "reason": reason, "compared_with": serving.version}
    outcome["not_compared"] = "; ".join(serving.gaps) or None
    lake.append(MODEL_RUNS, [{**model, **outcome}], replacing={"run_id": run.run_id})
    return {TASK_METRICS.name: len(rows), **diagnose_model(run, lake, model)}


class ServingJudgement(NamedTuple):
    """What the serving model reaches, if it can be judged; `gaps`: what could not be compared, and why."""

    version: str | None = None
    metrics: Metrics | None = None
    gaps: tuple[str, ...] = ()


def judge_serving(run: Run, lake: Lake, version: str) -> ServingJudgement:
    """On the examples that judged the model `version` of the run, as far as both models go."""
    row = serving_model(lake, run.date, but_run=run.run_id)
    if row is None or row["model_version"] == version:
        return ServingJudgement()
    from mtl_model.earlier_model import UnusableModelError, read_earlier  # torch: only where it is needed
    from mtl_model.evaluation.judge_earlier import judge_earlier

    serving, models = str(row["model_version"]), models_folder(run)
    today = read_earlier(models / version)
    files = list(map(Path, validation_files(run, lake, plan_days(run))))
    try:
        judged = judge_earlier(models / serving, files, today)
    except UnusableModelError as error:
        found = ServingJudgement(gaps=(f"the serving model {serving} counts as absent: {error}",))
    else:
        gaps = tuple(f"the serving model {serving}: {gap}" for gap in judged.gaps)
        found = ServingJudgement(serving, judged.metrics, gaps)
    for gap in found.gaps:
        logger.warning("not compared: %s", gap)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "evaluate", evaluate_model, argv)


if __name__ == "__main__":
    sys.exit(main())
