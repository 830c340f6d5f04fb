"""What the joint model is and how it is trained: the typed `model` part of a scenario, and a training spec.

Light to import: neither torch nor pyspark, so that a scenario can be checked in a moment.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    PositiveInt,
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
from mtl_model.evaluation.config import SliceConfig
from mtl_model.heads.config import HeadName as HeadName
from mtl_model.heads.config import TaskConfig as TaskConfig
from mtl_model.heads.config import check_dependencies
from mtl_model.layers.config import FactorizationConfig
from mtl_model.sharing.config import SharingConfig, SingleTaskConfig, STEMConfig
from mtl_model.strict_model import StrictModel as StrictModel
from mtl_model.training.config import Precision
from mtl_model.training.config import TrainingConfig as TrainingConfig
from mtl_model.transfer.config import TransferConfig

WeightsName = Literal["model", "judged"]  # of a model folder: those that serve, those that were judged


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
    transfer: TransferConfig = TransferConfig()
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
        own = (field for field in self.list_fields if field.shares is None and field.num_hash_rows is None)
        return (*self.id_fields, *own)

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

    def copies_of(self, field: EmbeddedField) -> tuple[str, ...]:
        """Whose the embeddings of an id are, side by side: the tasks' by name, "" for that of them all."""
        tasks = tuple(task.name for task in self.tasks)
        if isinstance(self.sharing, SingleTaskConfig):
            return tasks
        if isinstance(self.sharing, STEMConfig) and field.name in self.sharing.task_fields:
            return (*tasks, "")
        return ("",)

    @property
    def pooled_fields(self) -> tuple[IdListField, ...]:
        """The lists that are pooled into the sharing's inputs."""
        return tuple(field for field in self.list_fields if field.name not in self.factored_fields)

    def with_precision(self, precision: Precision) -> "ModelConfig":
        training = self.training.model_copy(update={"precision": precision})
        return self.model_copy(update={"training": training})

    @property
    def target_slice(self) -> SliceConfig | None:
        """The rows of the domain that the model is for; None where nothing tells domains apart."""
        return next((part for part in self.slices if part.name == self.transfer.target), None)

    @property
    def parents(self) -> dict[str, str]:
        """The task that each dependent task depends on; a parent's own parent comes before."""
        return {task.name: task.depends_on for task in self.tasks if task.depends_on is not None}

    @model_validator(mode="after")
    def check_rules(self) -> Self:
        _refuse_duplicates("fields", (field.name for field in self.fields))
        if unfit := [
            field.name for field in self.fields if "/" in field.name or field.name in {"", ".", ".."}
        ]:
            raise ValueError(f"the names of fields become names of files, which cannot be {unfit}")
        _refuse_duplicates("tasks", (task.name for task in self.tasks))
        self.sharing.check_detached([task.name for task in self.tasks if not task.detached], len(self.tasks))
        _refuse_duplicates("slices", (part.name for part in self.slices))
        numbers = {field.name for field in self.numeric_fields}
        if unknown := sorted({part.column for part in self.slices} - numbers):
            raise ValueError(f"slices are cut by numeric fields of the model, which {unknown} are not")
        leaked = sorted({task.label for task in self.tasks} & set(self.columns))
        if leaked:
            raise ValueError(f"labels must not be among the fields, or the model reads the answer: {leaked}")
        check_lists(self.list_fields, (*self.id_fields, *self.hashed_fields), self.embedding_dim)
        check_factors(self.factored_fields, self.embedded_fields, self.list_fields)
        check_dependencies(self.tasks)
        self.training.check_tasks({task.name: task.head for task in self.tasks})
        self.transfer.check_names([part.name for part in self.slices], self.columns)
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
    A vocabulary is a Parquet file with a string column `value`: row i has embedding row i + 2. The
    `new_values` of a field, a file of that kind too, have rows behind those of its vocabulary from the final
    pass on: the model that is judged does not know them.
    """

    model: ModelConfig
    train_files: tuple[Path, ...]
    validation_files: tuple[Path, ...]
    calibration_files: tuple[Path, ...] = ()
    final_files: tuple[Path, ...] = ()
    vocabularies: dict[str, Path]
    new_values: dict[str, Path] = Field(default={})
    output_dir: Path
    warm_start: WarmStart | None = None

    @property
    def work_dir(self) -> Path:
        """What becomes `output_dir` once the training is finished."""
        return self.output_dir.with_name(f"{self.output_dir.name}.partial")

    @property
    def carries_on(self) -> bool:
        """Goes on from an earlier night's model with what has come in since, which may be little."""
        return self.warm_start is not None and self.warm_start.weights == "judged"

    @model_validator(mode="after")
    def check_rules(self) -> Self:
        if not (self.train_files or (self.warm_start and self.final_files)):
            raise ValueError("train_files are empty: only a warm start with final_files can do without")
        _refuse_difference(
            "vocabularies", self.vocabularies, (field.name for field in self.model.vocabulary_fields)
        )
        if unknown := sorted(self.new_values.keys() - self.vocabularies.keys()):
            raise ValueError(f"new_values are of fields without a vocabulary: {unknown}")
        if self.new_values and not self.final_files:
            raise ValueError("new_values have their first rows in final_files, which are empty")
        _refuse_difference(
            "numeric_statistics", self.numeric_statistics, (field.name for field in self.model.numeric_fields)
        )
        multilabel = (task.name for task in self.model.tasks if task.head == "multilabel")
        _refuse_difference("label_names", self.label_names, multilabel)
        calibrated = [task.name for task in self.model.tasks if task.calibration]
        if calibrated and not self.calibration_files:
            raise ValueError(f"there are no calibration_files to calibrate {calibrated} on")
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
