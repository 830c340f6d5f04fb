"""A model, its calibration and its metrics: what a training does once all its epochs are over."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from mtl_model.config import TrainSpec
from mtl_model.evaluation.calibration import CalibrationMap, read_calibration, write_calibration
from mtl_model.evaluation.evaluate import Judged, concat_judged, judge_files, measure
from mtl_model.predict import Predictor
from mtl_model.training.process_group import ProcessGroup

logger = logging.getLogger(__name__)


def judge_model(predictor: Predictor, spec: TrainSpec, group: ProcessGroup, folder: Path) -> None:
    """Writes calibration.json, fitted on the calibration files, and metrics.json, of the validation files.

    All ranks call it with the same weights; each predicts its share of the rows, rank 0 does the rest.
    """
    if spec.calibration_files:
        shares = group.gather(judge_files(predictor, spec.calibration_files, group.rank, group.world_size))
        if shares is not None:
            write_calibration(folder, fit_calibration(predictor, shares))
        group.barrier()
        predictor.calibration = read_calibration(folder)
    shares = group.gather(judge_files(predictor, spec.validation_files, group.rank, group.world_size))
    if shares is None:
        return
    metrics = measure(predictor, shares)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2))
    for task, task_metrics in metrics.items():
        summary = {name: value for name, value in task_metrics.items() if isinstance(value, int | float)}
        logger.info("judged %s on %d files: %s", task, len(spec.validation_files), summary)


def validate(
    predictor: Predictor, files: Sequence[Path], group: ProcessGroup, task: str, metric: str
) -> float:
    """One metric of the uncalibrated predictions on all ranks; each predicts its share of the rows.

    Raises:
        ValueError: if it is not defined on these files.
    """
    shares = group.gather(judge_files(predictor, files, group.rank, group.world_size))
    value = torch.zeros((), dtype=torch.float64, device=group.device)
    if shares is not None:
        found = measure(predictor, shares)[task].get(metric)
        if not isinstance(found, float):
            raise ValueError(f"{metric} of task {task} is not defined on the {len(files)} validation files")
        value += found
    return float(group.all_reduce(value))


def fit_calibration(predictor: Predictor, shares: list[dict[str, Judged]]) -> dict[str, CalibrationMap]:
    """The maps of the tasks that ask for one, from the uncalibrated predictions of all ranks."""
    from mtl_model.evaluation.fit_calibration import fit_task  # sklearn and scipy: a second of a start

    maps: dict[str, CalibrationMap] = {}
    for task in predictor.tasks:
        parts = [share[task.name] for share in shares if task.name in share]
        if parts:
            judged = concat_judged(parts)
            fitted = fit_task(task, judged.labels, judged.predictions, judged.weights)
            maps |= {task.name: fitted} if fitted else {}
    return maps
