"""What the joint model is and how it is trained: the typed `model` part of a scenario, and a training spec.

Light to import: neither torch nor pyspark, so that a scenario can be checked in a moment.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from mtl_model.balancing.config import BalancingConfig, PlainBalancingConfig
from mtl_model.data.config import (
    EmbeddedField,
    HashedIdField,
    IdListField,
    InputField,
    check_factors,
    check_lists,
)
from mtl_model.data.config import IdField as IdField
from mtl_model.data.config import NumericField as NumericField
from mtl_model.data.config import NumericStatistics as NumericStatistics
from mtl_model.evaluation.config import CalibrationMethod, SliceConfig, check_calibration
from mtl_model.layers.config import FactorizationConfig
from mtl_model.sharing.config import SharingConfig
from mtl_model.strict_model import StrictModel as StrictModel
from mtl_model.training.config import TrainingConfig as TrainingConfig

LOWER_CASE_WORDS = re.compile(r"[a-z][a-z0-9_]*")

# A task names its modules inside an nn.ModuleDict, which has attributes of these names itself.
RESERVED_TASK_NAMES = re.compile(
    "apply|buffers|children|clear|compile|cpu|cuda|double|eval|float|forward|half|ipu|items|keys|modules|mtia|"
    "parameters|pop|to|train|training|type|update|values|xpu"
)

HeadName = Literal["binary", "zero_inflated_lognormal", "multilabel", "regression", "ordinal", "multiclass"]
CLASS_HEADS = frozenset({"ordinal", "multiclass"})
EVENT_HEADS = frozenset({"binary", "zero_inflated_lognormal", "multilabel"})  # they have negatives
WeightsName = Literal["model", "judged"]  # of a model folder: those that serve, those that were judged


class TaskConfig(StrictModel):
    """One label to predict.

    `negatives_sampled` says that the task's negatives were kept at the spec's `negative_sampling_rate`,
    so that its probability has to be corrected. The number of labels of a multilabel task comes from the
    data: `TrainSpec.label_names`. Labels of an ordinal or multiclass task are 0 to `num_classes` - 1.

    `depends_on` names the task without which this one cannot happen, as a purchase cannot without a click.
    Both labels are of all rows: `label_purchase` is 0, not null, where nothing was clicked.
    """

    name: str
    head: HeadName
    label: str
    loss_weight: PositiveFloat
    negatives_sampled: bool = False
    num_classes: Annotated[int, Field(ge=2)] | None = None
    depends_on: str | None = None
    calibration: CalibrationMethod | None = None

    @field_validator("name")
    @classmethod
    def check_name(cls, name: str) -> str:
        if not LOWER_CASE_WORDS.fullmatch(name):
            raise ValueError(f"a task name is lower-case words joined by _, got {name!r}")
        if RESERVED_TASK_NAMES.fullmatch(name):
            raise ValueError(f"task name {name!r} is taken by torch.nn.Module: choose another")
        return name

    @model_validator(mode="after")
    def check_rules(self) -> Self:
        if (self.head in CLASS_HEADS) != (self.num_classes is not None):
            raise ValueError(
                f"num_classes belongs to {sorted(CLASS_HEADS)} heads and to no other: task {self.name} has "
                f"head {self.head} and num_classes {self.num_classes}"
            )
        if self.negatives_sampled and self.head not in EVENT_HEADS:
            raise ValueError(f"task {self.name} has head {self.head}, which knows no negatives to sample")
        check_calibration(self.name, self.head, self.calibration)
        return self


class ModelConfig(StrictModel):
    """The joint model: fields -> embeddings and numbers -> sharing -> a tower and a head per task.

    Fields of the `factorization` pass the sharing by: their products feed the heads.

    `balancing` works on losses that have their `loss_weight` already. Some methods undo any scale, and so
    `loss_weight` too: imtl_g, nash_mtl and famo at once, uncertainty, imtl_l and gradnorm as they learn.
    """

    embedding_dim: PositiveInt
    fields: Annotated[tuple[InputField, ...], Field(min_length=1)]
    sharing: SharingConfig
    factorization: FactorizationConfig | None = None
    tower_hidden_dims: tuple[PositiveInt, ...]
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    tasks: Annotated[tuple[TaskConfig, ...], Field(min_length=1)]
    balancing: BalancingConfig = PlainBalancingConfig(name="fixed")
    slices: tuple[SliceConfig, ...] = ()
    training: TrainingConfig

    @property
    def id_fields(self) -> tuple[IdField, ...]:
        return tuple(field for field in self.fields if isinstance(field, IdField))

    @property
    def numeric_fields(self) -> tuple[NumericField, ...]:
        return tuple(field for field in self.fields if isinstance(field, NumericField))

    @property
    def hashed_fields(self) -> tuple[HashedIdField, ...]:
        return tuple(field for field in self.fields if isinstance(field, HashedIdField))

    @property
    def list_fields(self) -> tuple[IdListField, ...]:
        return tuple(field for field in self.fields if isinstance(field, IdListField))

    @property
    def vocabulary_fields(self) -> tuple[IdField | IdListField, ...]:
        """The fields with a vocabulary of their own."""
        return (*self.id_fields, *(field for field in self.list_fields if field.shares is None))

    @property
    def columns(self) -> tuple[str, ...]:
        """The feature columns that the model reads."""
        return tuple(field.name for field in self.fields)

    @property
    def scalar_slot_fields(self) -> tuple[IdField | HashedIdField | NumericField, ...]:
        """The fields with one embedding row per example, in the order of their slots."""
        bucketed = (field for field in self.numeric_fields if field.num_buckets)
        return (*self.id_fields, *self.hashed_fields, *bucketed)

    @property
    def embedded_fields(self) -> tuple[EmbeddedField, ...]:
        """The fields with embeddings of their own, in the order of their slots: lists come last."""
        return (*self.scalar_slot_fields, *(field for field in self.list_fields if field.shares is None))

    def slot_of(self, name: str) -> int:
        """The slot of an embedded field, or of the one that a list shares."""
        shared = {field.name: field.shares for field in self.list_fields if field.shares is not None}
        return [field.name for field in self.embedded_fields].index(shared.get(name, name))

    @property
    def factored_fields(self) -> tuple[str, ...]:
        return tuple(name for side in self.factorization.sides for name in side) if self.factorization else ()

    def embedding_dim_of(self, field: EmbeddedField) -> int:
        if self.factorization and field.name in self.factored_fields:
            return self.factorization.num_factors + len(self.tasks)  # and a bias per task
        return field.embedding_dim or self.embedding_dim

    @property
    def parents(self) -> dict[str, str]:
        """The task that each dependent task depends on; a parent's own parent comes before."""
        return {task.name: task.depends_on for task in self.tasks if task.depends_on is not None}

    @model_validator(mode="after")
    def check_rules(self) -> Self:
        _refuse_duplicates("fields", (field.name for field in self.fields))
        _refuse_duplicates("tasks", (task.name for task in self.tasks))
        _refuse_duplicates("slices", (part.name for part in self.slices))
        numbers = {field.name for field in self.numeric_fields}
        if unknown := sorted({part.column for part in self.slices} - numbers):
            raise ValueError(f"slices are cut by numeric fields of the model, which {unknown} are not")
        leaked = sorted({task.label for task in self.tasks} & set(self.columns))
        if leaked:
            raise ValueError(f"labels must not be among the fields, or the model reads the answer: {leaked}")
        check_lists(self.list_fields, self.id_fields, self.embedding_dim)
        check_factors(self.factored_fields, self.embedded_fields, self.list_fields)
        _check_dependencies(self.tasks)
        self.training.check_tasks(task.name for task in self.tasks)
        if self.sharing.is_funnel and not self.parents:
            raise ValueError(f"sharing {self.sharing.name} needs tasks joined by depends_on, found none")
        if self.tower_hidden_dims and not self.sharing.has_towers:
            raise ValueError(
                f"sharing {self.sharing.name} has no towers: set tower_hidden_dims to [], got "
                f"{list(self.tower_hidden_dims)}"
            )
        self.sharing.check_names(
            [task.name for task in self.tasks], [field.name for field in self.embedded_fields]
        )
        return self


class DataSpec(StrictModel):
    """What a model must know about its data in order to read it again when it serves."""

    numeric_statistics: dict[str, NumericStatistics]
    label_names: dict[str, tuple[str, ...]] = Field(default={})
    negative_sampling_rate: Annotated[float, Field(gt=0.0, le=1.0)]


class ModelDescription(StrictModel):
    """model.json of a model folder: all that its weights need beside the vocabularies."""

    model: ModelConfig
    data: DataSpec


class WarmStart(StrictModel):
    """Begin with the weights of the model folder `model_dir`: those that serve, or those that were judged."""

    model_dir: Path
    weights: WeightsName


class TrainSpec(DataSpec):
    """One training, as handed over by jobs/learn in a JSON file.

    The model is trained on `train_files`, calibrated on `calibration_files` if a task asks for it, judged on
    `validation_files`; then it sees `final_files` once. With a warm start there may be nothing to train on
    before the judging.
    A vocabulary is a Parquet file with a string column `value`: row i has embedding row i + 2.
    """

    model: ModelConfig
    train_files: tuple[Path, ...]
    validation_files: tuple[Path, ...]
    calibration_files: tuple[Path, ...] = ()
    final_files: tuple[Path, ...] = ()
    vocabularies: dict[str, Path]
    output_dir: Path
    warm_start: WarmStart | None = None

    @model_validator(mode="after")
    def check_rules(self) -> Self:
        if not (self.train_files or (self.warm_start and self.final_files)):
            raise ValueError("train_files are empty: only a warm start with final_files can do without")
        _refuse_difference(
            "vocabularies", self.vocabularies, (field.name for field in self.model.vocabulary_fields)
        )
        _refuse_difference(
            "numeric_statistics", self.numeric_statistics, (field.name for field in self.model.numeric_fields)
        )
        multilabel = (task.name for task in self.model.tasks if task.head == "multilabel")
        _refuse_difference("label_names", self.label_names, multilabel)
        calibrated = [task.name for task in self.model.tasks if task.calibration]
        if calibrated and not self.calibration_files:
            raise ValueError(f"there are no calibration_files to calibrate {calibrated} on")
        return self


def _check_dependencies(tasks: Sequence[TaskConfig]) -> None:
    """Each parent is listed before its task, so that there is no cycle."""
    earlier: dict[str, TaskConfig] = {}
    for task in tasks:
        if task.depends_on is not None:
            parent = earlier.get(task.depends_on)
            if parent is None:
                raise ValueError(
                    f"task {task.name} depends on {task.depends_on!r}, which is none of the tasks listed "
                    f"before it: {list(earlier)}"
                )
            if {task.head, parent.head} != {"binary"}:
                raise ValueError(
                    f"tasks joined by depends_on must have binary heads: {task.name} has {task.head}, "
                    f"{parent.name} has {parent.head}"
                )
            if task.negatives_sampled:
                raise ValueError(
                    f"task {task.name} depends on {parent.name}: only the first task of a funnel can have "
                    "negatives_sampled, the others are corrected through it"
                )
        earlier[task.name] = task


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
