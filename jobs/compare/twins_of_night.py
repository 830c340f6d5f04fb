"""A night's joint model against single-task twins, on a sample of its examples -> twin_gains.

The light form of `nightshelf compare`: one seed, the scenario's own sharing and balancing, and the share of
the rows that `learn.twins` names. The models are thrown away; the table keeps what joint learning gained or
cost each task.
"""

import logging
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from jobs.compare.combinations import TWIN, list_combinations
from jobs.compare.judge_run import judge_run
from jobs.compare.train_runs import plan_run
from jobs.compare.transfer import compare_runs
from jobs.lake.lake import Lake
from jobs.learn.launch import launch_training
from jobs.learn.train_model import make_spec
from jobs.learn.training_days import plan_days
from jobs.stage import Run
from mtl_model.config import TrainSpec
from mtl_model.remove_folder import remove_folder

logger = logging.getLogger(__name__)

_KEPT = ("task", "metric", "mean", "ci_low", "ci_high", "twin", "gain", "gain_low", "gain_high", "verdict")


def compare_with_twins(run: Run, lake: Lake, version: str) -> list[dict[str, Any]]:
    """One record per task and one of the average over tasks; none where there is nothing to compare."""
    twins = run.scenario.learn.twins
    if twins is None or run.scenario.model.sharing.name == TWIN:
        return []
    comparisons = run.home / "comparisons" / run.scenario.name
    folder = comparisons / f"twins-{run.date}-{run.run_id}"
    inputs = folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    try:
        spec = sample_spec(make_spec(run, lake, plan_days(run), inputs), twins.sample_rate, inputs)
        rows = train_twins(run, spec, folder)
    finally:
        remove_folder(folder, comparisons)
    stamps: dict[str, Any] = {"ds": run.date, "run_id": run.run_id, "model_version": version}
    stamps["sample_rate"] = twins.sample_rate
    return [stamps | {name: row[name] for name in _KEPT} for row in rows]


def train_twins(run: Run, spec: TrainSpec, folder: Path) -> list[dict[str, Any]]:
    """Trains the joint model and the twins on the spec's files, and compares them on its validation files."""
    model = spec.model
    combinations = list_combinations(model, [model.sharing.name], [model.balancing.name], num_seeds=1)
    runs = [plan_run(folder, spec, combination) for combination in combinations]
    logger.info("training %s", [planned.combination.name for planned in runs])
    launch_training(run, *[planned.write_spec() for planned in runs])
    for planned in runs:
        judge_run(planned.folder, planned.spec, planned.combination.twin_of)
    return compare_runs(runs)


def sample_spec(spec: TrainSpec, sample_rate: float, folder: Path) -> TrainSpec:
    """The spec, of a share of the rows of each of its files."""
    if sample_rate == 1:
        return spec
    names = ("train_files", "validation_files", "calibration_files")
    changes = {name: sample_files(getattr(spec, name), sample_rate, folder / name) for name in names}
    return spec.model_copy(update={**changes, "final_files": (), "new_values": {}})


def sample_files(files: Iterable[Path], sample_rate: float, folder: Path) -> tuple[Path, ...]:
    """The first rows of every file, rounded up: a uniform sample, for examples are sorted by a hash."""
    folder.mkdir(parents=True, exist_ok=True)
    sampled: list[Path] = []
    for number, path in enumerate(files):
        with pq.ParquetFile(path) as file:
            wanted = math.ceil(file.metadata.num_rows * sample_rate)
            batch = next(file.iter_batches(wanted), None) if wanted else None
        if batch is not None:
            sampled.append(folder / f"{number:05d}.parquet")
            with pq.ParquetWriter(sampled[-1], batch.schema) as writer:
                writer.write_batch(batch)
    return tuple(sampled)
