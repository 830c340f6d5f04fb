"""What the joint model is and how it is trained: the typed `model` part of a scenario, and a training spec.

Light to import: neither torch nor pyspark, so that a scenario can be checked in a moment.
"""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from mtl_model.balancing.config import BalancingConfig, PlainBalancingConfig
from mtl_model.strict_model import StrictModel as StrictModel

LOWER_CASE_WORDS = re.compile(r"[a-z][a-z0-9_]*")

# A task names its modules inside an nn.ModuleDict, which has attributes of these names itself.
RESERVED_TASK_NAMES = re.compile(
    "apply|buffers|children|clear|compile|cpu|cuda|double|eval|float|forward|half|ipu|items|keys|modules|mtia|"
    "parameters|pop|to|train|training|type|update|values|xpu"
)

HeadName = Literal["binary", "zero_inflated_lognormal", "multilabel"]
ReaderName = Literal["arrow", "petastorm"]
HiddenDims = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class IdField(StrictModel):
    """A category with an embedding row per value seen at least `min_count` times in the training examples."""

    kind: Literal["id"]
    name: str
    min_count: PositiveInt = 1
    embedding_dim: PositiveInt | None = None


class NumericField(StrictModel):
    """A number, standardised (after a signed log1p if asked); `num_buckets` > 0 also embeds its quantile."""

    kind: Literal["numeric"]
    name: str
    log1p: bool = False
    num_buckets: NonNegativeInt = 0
    embedding_dim: PositiveInt | None = None


InputField = Annotated[IdField | NumericField, Field(discriminator="kind")]


class SharedBottomConfig(StrictModel):
    name: Literal["shared_bottom"]
    hidden_dims: HiddenDims


class MMoEConfig(StrictModel):
    name: Literal["mmoe"]
    num_experts: PositiveInt
    expert_hidden_dims: HiddenDims


SharingConfig = Annotated[SharedBottomConfig | MMoEConfig, Field(discriminator="name")]


class TaskConfig(StrictModel):
    """One label to predict.

    `negatives_sampled` says that the task's negatives were kept at the spec's `negative_sampling_rate`,
    so that its probability has to be corrected. The number of labels of a multilabel task comes from the
    data: `TrainSpec.label_names`.
    """

    name: str
    head: HeadName
    label: str
    loss_weight: PositiveFloat
    negatives_sampled: bool = False

    @field_validator("name")
    @classmethod
    def check_name(cls, name: str) -> str:
        if not LOWER_CASE_WORDS.fullmatch(name):
            raise ValueError(f"a task name is lower-case words joined by _, got {name!r}")
        if RESERVED_TASK_NAMES.fullmatch(name):
            raise ValueError(f"task name {name!r} is taken by torch.nn.Module: choose another")
        return name


class TrainingConfig(StrictModel):
    """How to train: the rate warms up linearly, then falls along a cosine to `final_learning_rate`."""

    reader: ReaderName = "arrow"
    num_processes: PositiveInt
    global_batch_size: PositiveInt
    epochs: PositiveInt
    learning_rate: PositiveFloat
    final_learning_rate: PositiveFloat
    warmup_steps: NonNegativeInt = 0
    weight_decay: NonNegativeFloat = 0.0
    embedding_weight_decay: NonNegativeFloat = 0.0
    clip_norm: PositiveFloat | None = None
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
        return self


class ModelConfig(StrictModel):
    """The joint model: fields -> embeddings and numbers -> sharing -> a tower and a head per task.

    `balancing` works on losses that have their `loss_weight` already. Some methods undo any scale, and so
    `loss_weight` too: imtl_g, nash_mtl and famo at once, uncertainty, imtl_l and gradnorm as they learn.
    """

    embedding_dim: PositiveInt
    fields: Annotated[tuple[InputField, ...], Field(min_length=1)]
    sharing: SharingConfig
    tower_hidden_dims: tuple[PositiveInt, ...]
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    tasks: Annotated[tuple[TaskConfig, ...], Field(min_length=1)]
    balancing: BalancingConfig = PlainBalancingConfig(name="fixed")
    training: TrainingConfig

    @property
    def id_fields(self) -> tuple[IdField, ...]:
        return tuple(field for field in self.fields if isinstance(field, IdField))

    @property
    def numeric_fields(self) -> tuple[NumericField, ...]:
        return tuple(field for field in self.fields if isinstance(field, NumericField))

    @property
    def columns(self) -> tuple[str, ...]:
        """The feature columns that the model reads."""
        return tuple(field.name for field in self.fields)

    @model_validator(mode="after")
    def check_rules(self) -> Self:
        _refuse_duplicates("fields", (field.name for field in self.fields))
        _refuse_duplicates("tasks", (task.name for task in self.tasks))
        leaked = sorted({task.label for task in self.tasks} & set(self.columns))
        if leaked:
            raise ValueError(f"labels must not be among the fields, or the model reads the answer: {leaked}")
        return self


class NumericStatistics(StrictModel):
    """What the training examples say about a number; nulls left out.

    `mean` and `std` are of the value as the model sees it (after sign(x) * log1p(|x|) if the field says so),
    `boundaries` are of the raw value, strictly increasing: a value has bucket 1 + the number of boundaries
    below it; bucket 0 is for a missing value.
    """

    mean: float
    std: NonNegativeFloat
    boundaries: tuple[float, ...] = ()

    @field_validator("boundaries")
    @classmethod
    def check_boundaries(cls, boundaries: tuple[float, ...]) -> tuple[float, ...]:
        if any(low >= high for low, high in pairwise(boundaries)):
            raise ValueError(f"boundaries must be strictly increasing, got {list(boundaries)}")
        return boundaries


class DataSpec(StrictModel):
    """What a model must know about its data in order to read it again when it serves."""

    numeric_statistics: dict[str, NumericStatistics]
    label_names: dict[str, tuple[str, ...]] = Field(default={})
    negative_sampling_rate: Annotated[float, Field(gt=0.0, le=1.0)]


class TrainSpec(DataSpec):
    """One training, as handed over by jobs/learn in a JSON file.

    The model is trained on `train_files`, judged on `validation_files`; then it sees `final_files` once.
    A vocabulary is a Parquet file with a string column `value`: row i has embedding row i + 2.
    """

    model: ModelConfig
    train_files: Annotated[tuple[Path, ...], Field(min_length=1)]
    validation_files: tuple[Path, ...]
    final_files: tuple[Path, ...] = ()
    vocabularies: dict[str, Path]
    output_dir: Path

    @model_validator(mode="after")
    def check_rules(self) -> Self:
        _refuse_difference("vocabularies", self.vocabularies, (field.name for field in self.model.id_fields))
        _refuse_difference(
            "numeric_statistics", self.numeric_statistics, (field.name for field in self.model.numeric_fields)
        )
        multilabel = (task.name for task in self.model.tasks if task.head == "multilabel")
        _refuse_difference("label_names", self.label_names, multilabel)
        return self


def _refuse_duplicates(key: str, names: Iterable[str]) -> None:
    names = list(names)
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{key} must have different names, got {repeated} more than once in {names}")


def _refuse_difference(key: str, given: Iterable[str], wanted: Iterable[str]) -> None:
    given, wanted = set(given), set(wanted)
    if given != wanted:
        raise ValueError(
            f"{key} must name each field or task that needs one: missing {sorted(wanted - given)}, "
            f"unknown {sorted(given - wanted)}"
        )
