"""A trained model that scores rows.

Shapes: B = rows, L = labels of a multilabel task.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_model.config import DataSpec, TaskConfig, WeightsName
from mtl_model.data.encode import Encoder
from mtl_model.evaluation.calibration import CalibrationMap, calibrate, read_calibration
from mtl_model.model import JointModel
from mtl_model.model_folder import read_model

CHUNK_ROWS = 4096  # keeps the activations in the processor's cache

Predictions = dict[str, npt.NDArray[np.float32]]


class Predictor:
    """Holds the model, its vocabularies and calibration: load it once per process."""

    def __init__(
        self,
        model: JointModel,
        encoder: Encoder,
        data: DataSpec,
        device: torch.device | None = None,
        calibration: Mapping[str, CalibrationMap] | None = None,
    ) -> None:
        self.model = model
        self.encoder = encoder
        self.tasks = encoder.tasks
        self.label_names = data.label_names
        self.device = device or torch.device("cpu")
        self.calibration = calibration or {}
        self.log_sampling_rates = {task.name: _log_sampling_rate(task, data) for task in self.tasks}

    @property
    def columns(self) -> list[str]:
        """The columns that a batch must have."""
        return self.encoder.feature_columns

    def predict(self, batch: pa.Table | pa.RecordBatch) -> Predictions:
        """Maps rows to one array per task.

        binary: probability (B,); zero_inflated_lognormal: expected value in minor units (B,);
        multilabel: probability per label (B, L); regression: value (B,); ordinal: expected level (B,);
        multiclass: probability per class (B, K). Corrected for the sampling of negatives, then calibrated.

        Of tasks joined by `depends_on`, whatever the sharing, "purchase" is P(click and purchase), CTCVR, and
        "purchase|click" is P(purchase | click), CVR.
        """
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        return self.predict_features(*self.encoder.encode_features(table))

    def predict_features(self, ids: Tensor, numbers: Tensor) -> Predictions:
        """The same for rows that are encoded already."""
        was_training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            chunks = [
                self._predict_chunk(ids[start : start + CHUNK_ROWS], numbers[start : start + CHUNK_ROWS])
                for start in range(0, max(len(ids), 1), CHUNK_ROWS)
            ]
        self.model.train(was_training)
        predictions = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
        return calibrate(predictions, self.calibration, self.tasks)

    def _predict_chunk(self, ids: Tensor, numbers: Tensor) -> Predictions:
        logits = self.model(ids.to(self.device), numbers.to(self.device))
        predictions = {
            task: self.model.head(task).predict(logits[task], rate)
            for task, rate in self.log_sampling_rates.items()
        }
        predictions |= self._predict_dependents(logits)
        return {name: values.float().cpu().numpy() for name, values in predictions.items()}

    def _predict_dependents(self, logits: dict[str, Tensor]) -> dict[str, Tensor]:
        """The probabilities of tasks that depend on another.

        Rows where the first task of a funnel did not happen were sampled, all others kept: P(first) is
        corrected, P(purchase | click) is right as it is, and so is P(purchase) / P(first).
        """
        predictions: dict[str, Tensor] = {}
        log_corrections: dict[str, Tensor] = {}
        for task in self.tasks:
            parent = task.depends_on
            if parent is None:
                continue
            logit, parent_logit = logits[task.name][:, 0], logits[parent][:, 0]
            log_p, log_parent = F.logsigmoid(logit), F.logsigmoid(parent_logit)
            if parent not in log_corrections:
                corrected = F.logsigmoid(parent_logit + self.log_sampling_rates[parent])
                log_corrections[parent] = corrected - log_parent
            log_corrections[task.name] = log_corrections[parent]
            predictions[task.name] = (log_p + log_corrections[parent]).exp()
            predictions[f"{task.name}|{parent}"] = (log_p - log_parent).exp().clamp(max=1.0)
        return predictions


def load_predictor(model_dir: Path, verify: bool = True, weights: WeightsName = "model") -> Predictor:
    """The model of a finished folder; `verify` checks every file's hash first."""
    model, encoder, description = read_model(Path(model_dir), verify, weights)
    return Predictor(model, encoder, description.data, calibration=read_calibration(Path(model_dir)))


def _log_sampling_rate(task: TaskConfig, data: DataSpec) -> float:
    return math.log(data.negative_sampling_rate) if task.negatives_sampled else 0.0
