"""Which promoted model makes tonight's shelves: the newest that is whole and has the tasks that they need."""

import logging
from collections.abc import Iterable
from pathlib import Path

from jobs.config import ScenarioConfig
from jobs.lake.lake import Lake
from jobs.learn.registry import promoted_models
from jobs.learn.train_model import models_folder
from jobs.recommend.shelves import PREDICTION_COLUMNS, REASON_COLUMNS
from jobs.stage import Run
from mtl_model.config import ModelConfig

logger = logging.getLogger(__name__)

_ALWAYS_THERE = frozenset({"user_id", "item_id", *REASON_COLUMNS})  # whatever fields the scenario has
_SHOWN_REASONS = 3


def choose_model(run: Run, lake: Lake) -> str:
    """The version of the model; each newer one that is passed over is told of in the log.

    Raises:
        ValueError: if no model has been promoted yet, or none of them can score tonight's rows.
    """
    reasons: list[str] = []
    for model in promoted_models(lake, run.date, own_run=run.run_id):
        version = str(model["model_version"])
        reason = why_unfit(models_folder(run) / version, run.scenario)
        if reason is None:
            return version
        logger.warning("model %s cannot make tonight's shelves: %s", version, reason)
        reasons.append(f"{version}: {reason}")
    if not reasons:
        raise ValueError(
            f"no model was promoted by {run.date}: run train and evaluate, see model_runs.reason"
        )
    shown = "; ".join(reasons[:_SHOWN_REASONS])
    raise ValueError(
        f"none of the {len(reasons)} models promoted by {run.date} can score tonight's rows: {shown}. Mend "
        "what is named, or train a model that is promoted: model_runs.reason says why tonight's was not"
    )


def why_unfit(folder: Path, scenario: ScenarioConfig) -> str | None:
    """Why a model cannot make the scenario's shelves; fields that these lack it can do without, as nulls."""
    from mtl_model.earlier_model import UnusableModelError, read_earlier, refuse_other_kinds  # torch

    try:
        model = read_earlier(folder).model
        refuse_other_kinds(model, scenario.model)
    except UnusableModelError as error:
        return str(error)
    if missing := _missing_tasks(model, scenario):
        return f"it does not have the tasks {missing}, or has other heads for them"
    if lost := sorted(set(model.columns) - {*scenario.model.columns, *_ALWAYS_THERE}):
        logger.warning("model %s serves without the fields %s: they are null", folder.name, lost)
    return None


def needed_tasks(scenario: ScenarioConfig) -> set[str]:
    """The tasks of the scenario whose predictions the output tables have."""
    rules = scenario.recommend
    used: Iterable[str | None] = (
        *PREDICTION_COLUMNS,
        *rules.utility,
        "coupon",
        scenario.interest_task,
        rules.reasons.task if rules.reasons else None,
    )
    return {task.name for task in scenario.model.tasks} & set(used)


def _missing_tasks(model: ModelConfig, scenario: ScenarioConfig) -> list[str]:
    heads = {task.name: (task.head, task.num_classes) for task in model.tasks}
    needed = needed_tasks(scenario)
    return [
        task.name
        for task in scenario.model.tasks
        if task.name in needed and heads.get(task.name) != (task.head, task.num_classes)
    ]
