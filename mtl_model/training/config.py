"""The typed `training` part of a scenario."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from mtl_model.strict_model import StrictModel

ReaderName = Literal["arrow", "petastorm"]
EmbeddingOptimizer = Literal["adamw", "rowwise_adagrad"]
Precision = Literal["fp32", "bf16", "auto"]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
StoppingMetric = Literal[
    "auc",
    "gauc",
    "pr_auc",
    "log_loss",
    "normalised_gini",
    "accuracy",
    "mean_absolute_error",
    "root_mean_squared_error",
]
ERRORS: tuple[StoppingMetric, ...] = ("root_mean_squared_error", "mean_absolute_error")
STOPPING_METRICS: dict[str, tuple[StoppingMetric, ...]] = {  # by head, first what a comparison judges by
    "binary": ("auc", "gauc", "pr_auc", "log_loss"),
    "multilabel": ("auc", "log_loss"),
    "multiclass": ("log_loss", "accuracy"),
    "zero_inflated_lognormal": ("normalised_gini", *ERRORS),
    "regression": ERRORS,
    "ordinal": ERRORS,
}


class EarlyStoppingConfig(StrictModel):
    """Stop once `metric` of `task` on the validation files has not got better for `patience` epochs.

    The weights of the best epoch are kept, also where `epochs` end it first.
    """

    task: str
    metric: StoppingMetric
    patience: PositiveInt


class TrainingConfig(StrictModel):
    """How to train: the rate warms up linearly, then falls along a cosine to `final_learning_rate`.

    `adamw` steps over all rows of the embedding tables, `rowwise_adagrad` over those of the batch's ids
    alone: for a million rows and more. It needs an `embedding_learning_rate`, `adamw` may have one; it
    follows the same curve.

    The rows are dealt to `num_processes` streams, which make the global batches: a resume on another number
    of processes sees the same batches. `field_masking` hides a row's id or number, `sequence_masking` an item
    of a list, at that rate, anew in each epoch.

    `bf16` computes the dense part of a training step in bfloat16; weights, heads, losses and scores stay in
    fp32. `auto` is `bf16` on a machine that is clearly faster in it, else `fp32`.
    """

    reader: ReaderName = "arrow"
    precision: Precision = "auto"
    num_processes: PositiveInt
    global_batch_size: PositiveInt
    epochs: PositiveInt
    learning_rate: PositiveFloat
    final_learning_rate: PositiveFloat
    warmup_steps: NonNegativeInt = 0
    weight_decay: NonNegativeFloat = 0.0
    embedding_weight_decay: NonNegativeFloat = 0.0
    embedding_optimizer: EmbeddingOptimizer = "adamw"
    embedding_learning_rate: PositiveFloat | None = None
    clip_norm: PositiveFloat | None = None
    field_masking: Rate = 0.0
    sequence_masking: Rate = 0.0
    early_stopping: EarlyStoppingConfig | None = None
    seed: NonNegativeInt
    log_every_steps: PositiveInt = 50
    checkpoint_every_steps: PositiveInt = 500

    @model_validator(mode="after")
    def check_rules(self) -> Self:
        if self.global_batch_size % self.num_processes:
            raise ValueError(
                f"global_batch_size ({self.global_batch_size}) must be a multiple of "
                f"num_processes ({self.num_processes})"
            )
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"final_learning_rate ({self.final_learning_rate}) must not exceed "
                f"learning_rate ({self.learning_rate})"
            )
        is_rowwise = self.embedding_optimizer == "rowwise_adagrad"
        if is_rowwise and self.embedding_learning_rate is None:
            raise ValueError("embedding_optimizer rowwise_adagrad needs an embedding_learning_rate")
        if is_rowwise and self.embedding_weight_decay:
            raise ValueError(
                "rowwise_adagrad touches the rows of a batch alone, embedding_weight_decay all: set it to 0, "
                f"got {self.embedding_weight_decay}"
            )
        return self

    def check_tasks(self, heads: Mapping[str, str]) -> None:
        """Raises ValueError where early stopping judges by what is not there; `heads` by task."""
        stopping = self.early_stopping
        if stopping is None:
            return
        if stopping.task not in heads:
            raise ValueError(
                f"early_stopping judges by {stopping.task!r}, which is none of the tasks {list(heads)}"
            )
        head = heads[stopping.task]
        if stopping.metric not in STOPPING_METRICS[head]:
            raise ValueError(
                f"early_stopping judges task {stopping.task} by {stopping.metric}, which its head, {head}, "
                f"does not have: choose one of {list(STOPPING_METRICS[head])}"
            )
