"""Ends a training that has stopped getting better, and keeps its best weights.

After each epoch the model is judged on the validation files. The metrics reported of it later are of the same
rows, which have chosen the epoch: they flatter it a little, the more so the fewer rows there are.
"""

from typing import Any

from torch import Tensor, nn

from mtl_model.training.config import EarlyStoppingConfig

LESS_IS_BETTER = frozenset({"log_loss", "mean_absolute_error", "root_mean_squared_error"})


class EarlyStopping:
    """The metric after each epoch so far, and the weights of the best one; equal on all ranks."""

    def __init__(self, config: EarlyStoppingConfig) -> None:
        self.config = config
        self.values: list[float] = []
        self.best_weights: dict[str, Tensor] = {}

    @property
    def best_epoch(self) -> int:
        """The first of the best ones."""
        sign = -1.0 if self.config.metric in LESS_IS_BETTER else 1.0
        return max(range(len(self.values)), key=lambda epoch: sign * self.values[epoch])

    @property
    def is_over(self) -> bool:
        return bool(self.values) and len(self.values) - 1 - self.best_epoch >= self.config.patience

    def observe(self, value: float, model: nn.Module) -> None:
        """Takes the metric after one more epoch."""
        self.values.append(value)
        if self.best_epoch == len(self.values) - 1:
            weights = model.state_dict()
            self.best_weights = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}

    def restore_best(self, model: nn.Module) -> None:
        if self.best_weights:
            model.load_state_dict(self.best_weights)

    def describe(self) -> dict[str, Any]:
        return self.config.model_dump() | {"values": self.values, "best_epoch": self.best_epoch}
