"""A trained model -> what a comparison keeps of it: a figure per task, what each user adds, its insides."""

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mtl_model.config import TrainSpec
from mtl_model.data.arrow_reader import read_shard
from mtl_model.data.batches import shuffled_batches
from mtl_model.evaluation.evaluate import judge_files
from mtl_model.evaluation.expert_load import expert_loads
from mtl_model.evaluation.gradient_cosines import gradient_cosines
from mtl_model.evaluation.user_influence import measure_by_user
from mtl_model.predict import Predictor, load_predictor

RESULT_FORMAT = 2  # results of another one are not read
RESULT, INFLUENCE = "result.json", "influence.parquet"
_BATCHES, _BATCH_ROWS = 8, 2048  # of the rows that gradients and gates are looked at on

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RunResult:
    """One run; a task without a metric, for want of labelled rows, is missing.

    `probabilities`: a task's log loss and calibration, where it has them.
    """

    metrics: Mapping[str, str]
    values: Mapping[str, float]
    probabilities: Mapping[str, Mapping[str, float]]
    parameters: int
    rows_per_second: float
    cosines: list[list[float | None]]
    expert_loads: Mapping[str, Mapping[str, float]]


def judge_run(folder: Path, spec: TrainSpec, task: str | None = None) -> None:
    """Writes influence.parquet and, as the last step, result.json; of `task` alone if one is named."""
    predictor = load_predictor(spec.output_dir, weights="judged")
    judged = judge_files(predictor, spec.validation_files, rank=0, num_ranks=1)
    measured = {
        each.name: measure_by_user(judged[each.name], each.head)
        for each in predictor.tasks
        if each.name in judged and len(judged[each.name].labels) and task in {None, each.name}
    }
    known = {name: found for name, found in measured.items() if found is not None}
    columns = {name: found.influence for name, found in known.items()}
    pq.write_table(pa.table(columns), folder / INFLUENCE)
    cosines, loads = ([], {}) if task else _look_inside(predictor, spec)
    result = RunResult(
        metrics={name: found.metric for name, found in known.items()},
        values={name: found.value for name, found in known.items()},
        probabilities=_read_probabilities(spec.output_dir, known),
        parameters=sum(weights.numel() for weights in predictor.model.parameters()),
        rows_per_second=_rows_per_second(spec.output_dir),
        cosines=cosines,
        expert_loads=loads,
    )
    partial = folder / f"{RESULT}.partial"
    partial.write_text(json.dumps(asdict(result), indent=1), encoding="utf-8")
    partial.replace(folder / RESULT)


def read_result(folder: Path) -> RunResult:
    return RunResult(**json.loads((folder / RESULT).read_text(encoding="utf-8")))


def read_influence(folder: Path) -> dict[str, Floats]:
    table = pq.read_table(folder / INFLUENCE)
    return {name: table.column(name).to_numpy() for name in table.column_names}


def _look_inside(
    predictor: Predictor, spec: TrainSpec
) -> tuple[list[list[float | None]], dict[str, dict[str, float]]]:
    """Cosines between the tasks' gradients, None without a labelled row, and the loads of the gates."""
    tables = read_shard(spec.train_files, predictor.encoder.training_columns, 0, 0, rank=0, num_ranks=1)
    batches = list(
        islice(shuffled_batches(tables, predictor.encoder, _BATCH_ROWS, _BATCHES, seed=0), _BATCHES)
    )
    cosines = gradient_cosines(predictor.model, spec.model, predictor.encoder, batches)
    rows = [[None if np.isnan(value) else float(value) for value in row] for row in cosines]
    return rows, expert_loads(predictor.model, batches)


def _read_probabilities(model_dir: Path, tasks: Iterable[str]) -> dict[str, dict[str, float]]:
    judged = json.loads((model_dir / "metrics.json").read_text(encoding="utf-8"))
    return {
        task: {
            name: judged[task][name]
            for name in ("log_loss", "calibration")
            if judged[task].get(name) is not None
        }
        for task in tasks
    }


def _rows_per_second(model_dir: Path) -> float:
    lines = (model_dir / "history.jsonl").read_text(encoding="utf-8").splitlines()
    speeds = [float(json.loads(line)["rows_per_second"]) for line in lines]
    return statistics.median(speeds)
