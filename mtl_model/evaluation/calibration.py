"""Predictions -> calibrated ones: a rising map per task, fitted on days that neither train nor judge it.

Both maps work on a line, logits of probabilities and logarithms of values, and rise strictly: they change no
order of the rows, so that AUC and NDCG stay what they are.

    platt:     z -> slope z + intercept   (Platt, 1999; labels smoothed as there)
    isotonic:  z -> z + s(z)   (Zadrozny and Elkan, KDD 2002, doi.org/10.1145/775047.775151): pooling adjacent
               violators gives blocks with a mean z and a mean label; the shift s is drawn from block to block
               in straight lines and goes on unchanged outside. Steps would tie all rows of a block.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, PositiveFloat, TypeAdapter, model_validator
from scipy.special import expit, logit

from mtl_model.config import TaskConfig
from mtl_model.evaluation.metrics import MIN_PROBABILITY, Floats
from mtl_model.strict_model import StrictModel

CALIBRATION_FILE = "calibration.json"
MIN_VALUE = 1e-9  # for the logarithm

Numbers = npt.NDArray[Any]


class PlattMap(StrictModel):
    method: Literal["platt"]
    slope: PositiveFloat
    intercept: float

    def apply(self, probabilities: Numbers) -> npt.NDArray[np.float32]:
        on_line = self.slope * to_line(probabilities, "logit") + self.intercept
        return from_line(on_line, "logit").astype(np.float32)


class IsotonicMap(StrictModel):
    """Knots on the line, both coordinates strictly rising."""

    method: Literal["isotonic"]
    line: Literal["logit", "log"]
    inputs: Annotated[tuple[float, ...], Field(min_length=1)]
    outputs: tuple[float, ...]

    @model_validator(mode="after")
    def check_knots(self) -> Self:
        if len(self.inputs) != len(self.outputs) or any(
            (np.diff(knots) <= 0).any() for knots in (self.inputs, self.outputs)
        ):
            raise ValueError("the knots of an isotonic map must rise, one output for each input")
        return self

    def apply(self, predictions: Numbers) -> npt.NDArray[np.float32]:
        on_line = to_line(predictions, self.line)
        shifts = np.subtract(self.outputs, self.inputs)
        shifted = on_line + np.interp(on_line, self.inputs, shifts)
        return from_line(shifted, self.line).astype(np.float32)


CalibrationMap = Annotated[PlattMap | IsotonicMap, Field(discriminator="method")]
_MAPS: TypeAdapter[dict[str, CalibrationMap]] = TypeAdapter(dict[str, CalibrationMap])


def calibrate(
    predictions: dict[str, npt.NDArray[np.float32]],
    maps: Mapping[str, CalibrationMap],
    tasks: Sequence[TaskConfig],
) -> dict[str, npt.NDArray[np.float32]]:
    """Predictions by name, mapped; a task stays no more likely than the one that it depends on."""
    mapped: dict[str, npt.NDArray[np.float32]] = {
        name: maps[name].apply(rows) if name in maps else rows for name, rows in predictions.items()
    }
    for task in tasks:
        if maps and task.depends_on is not None:
            parent = mapped[task.depends_on]
            joint = np.minimum(mapped[task.name], parent)
            given = joint / np.maximum(parent, np.finfo(np.float32).tiny)
            mapped |= {task.name: joint, f"{task.name}|{task.depends_on}": given.astype(np.float32)}
    return mapped


def write_calibration(folder: Path, maps: Mapping[str, CalibrationMap]) -> None:
    text = json.dumps({task: fitted.model_dump() for task, fitted in maps.items()}, indent=1)
    (folder / CALIBRATION_FILE).write_text(text)


def read_calibration(folder: Path) -> dict[str, CalibrationMap]:
    """The maps of a model folder; none where the model is not calibrated."""
    path = folder / CALIBRATION_FILE
    return _MAPS.validate_json(path.read_bytes()) if path.is_file() else {}


def to_line(predictions: Numbers, line: Literal["logit", "log"]) -> Floats:
    values = predictions.astype(np.float64)
    if line == "log":
        logs: Floats = np.log(np.maximum(values, MIN_VALUE))
        return logs
    logits: Floats = logit(np.clip(values, MIN_PROBABILITY, 1 - MIN_PROBABILITY))
    return logits


def from_line(on_line: Floats, line: Literal["logit", "log"]) -> Floats:
    values: Floats = (np.exp if line == "log" else expit)(on_line)
    return values
