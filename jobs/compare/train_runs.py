"""A night's examples -> a finished run per combination; what is finished already is kept and used again."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq

from jobs.compare.combinations import Combination, model_of
from jobs.compare.judge_run import RESULT, RESULT_FORMAT, judge_run, read_result
from jobs.exit_codes import RunHeldError
from jobs.lake.lake import Lake
from jobs.learn.launch import launch_training
from jobs.learn.train_model import make_spec
from jobs.learn.training_days import plan_days
from jobs.locks import HeldError, hold
from jobs.stage import Run
from mtl_model.config import ModelConfig, TrainSpec
from mtl_model.evaluation.user_influence import NUM_GROUPS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedRun:
    """One model of the comparison, and the folder of its result."""

    combination: Combination
    folder: Path
    spec: TrainSpec

    @property
    def is_finished(self) -> bool:
        return (self.folder / RESULT).is_file()

    def write_spec(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "spec.json"
        path.write_text(self.spec.model_dump_json(indent=1), encoding="utf-8")
        return path


@dataclass(frozen=True)
class Plan:
    """What a comparison will do; `seconds_per_run` is unknown where no model has been trained before."""

    runs: Sequence[PlannedRun]
    example_count: int
    seconds_per_run: float | None

    @property
    def to_do(self) -> list[PlannedRun]:
        return [run for run in self.runs if not run.is_finished]


def comparison_folder(run: Run) -> Path:
    return run.home / "comparisons" / run.scenario.name / str(run.date)


def plan_runs(run: Run, lake: Lake, combinations: Sequence[Combination]) -> Plan:
    """Reads the catalog and the home; writes the vocabularies that the runs share.

    Raises:
        ValueError: if the night of the date has built no examples.
    """
    folder = comparison_folder(run)
    inputs = folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    base = make_spec(run, lake, plan_days(run), inputs)
    runs = [plan_run(folder, base, combination) for combination in combinations]
    example_count = sum(pq.read_metadata(path).num_rows for path in base.train_files)
    return Plan(runs, example_count, _estimate_seconds(run, runs, example_count))


def train_runs(run: Run, plan: Plan, report: Callable[[PlannedRun, int, int], None]) -> None:
    """Trains and judges what is not finished; a training that was killed goes on from its checkpoint."""
    to_do = plan.to_do
    for number, planned in enumerate(to_do, start=1):
        report(planned, number, len(to_do))
        if not planned.spec.output_dir.exists():  # else it was killed while it was judged
            launch_training(run, planned.write_spec())
        judge_run(planned.folder, planned.spec, planned.combination.twin_of)


@contextmanager
def hold_comparison(run: Run) -> Iterator[None]:
    """One comparison of a date at a time: two would write into the same folders.

    Raises:
        RunHeldError: if there is another.
    """
    try:
        with hold(comparison_folder(run) / "lock", {"run_id": run.run_id}, waits=False):
            yield
    except HeldError as error:
        message = f"{run.scenario.name} {run.date} is being compared already by {error}: wait for that to end"
        raise RunHeldError(message) from error


def plan_run(folder: Path, base: TrainSpec, combination: Combination) -> PlannedRun:
    """Its folder has a name of its own for every change of settings, examples or version of the project."""
    model = _without_blind_stopping(model_of(base.model, combination), base)
    multilabel = {task.name for task in model.tasks if task.head == "multilabel"}
    changes = {
        "model": model,
        "label_names": {name: names for name, names in base.label_names.items() if name in multilabel},
        "final_files": (),  # a comparison is of the weights that are judged
        "new_values": {},
        "calibration_files": base.calibration_files if any(task.calibration for task in model.tasks) else (),
    }
    spec = TrainSpec.model_validate(base.model_dump() | changes)
    content = spec.model_dump_json(exclude={"output_dir", "vocabularies"})
    content += f"{version('nightshelf')} {NUM_GROUPS} {RESULT_FORMAT}"
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    run_folder = folder / f"{combination.name}-{digest}"
    return PlannedRun(combination, run_folder, spec.model_copy(update={"output_dir": run_folder / "model"}))


def _without_blind_stopping(model: ModelConfig, base: TrainSpec) -> ModelConfig:
    """Trains all epochs where no row judges the task that would stop it; a comparison leaves that one out."""
    stopping = model.training.early_stopping
    if stopping is None:
        return model
    label = next(task.label for task in model.tasks if task.name == stopping.task)
    columns = (pq.read_table(path, columns=[label]).column(label) for path in base.validation_files)
    if any(column.null_count < len(column) for column in columns):
        return model
    training = model.training.model_copy(update={"early_stopping": None})
    return model.model_copy(update={"training": training})


def _estimate_seconds(run: Run, runs: Sequence[PlannedRun], example_count: int) -> float | None:
    """From the speed of finished runs, else of the newest model of the scenario; judging is not counted."""
    speeds = [read_result(planned.folder).rows_per_second for planned in runs if planned.is_finished]
    if not speeds:
        histories = (run.home / "models" / run.scenario.name).glob("*/history.jsonl")
        newest = max(histories, key=lambda path: path.stat().st_mtime, default=None)
        lines = newest.read_text(encoding="utf-8").splitlines() if newest else []
        speeds = [json.loads(line)["rows_per_second"] for line in lines]
    if not speeds:
        return None
    return example_count * run.scenario.model.training.epochs / (sum(speeds) / len(speeds))
