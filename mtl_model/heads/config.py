"""The tasks of a model: what each predicts, from which label, by which head."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, field_validator, model_validator

from mtl_model.evaluation.config import CalibrationMethod, check_calibration
from mtl_model.strict_model import StrictModel

LOWER_CASE_WORDS = re.compile(r"[a-z][a-z0-9_]*")

# A task names its modules inside an nn.ModuleDict, which has attributes of these names itself.
RESERVED_TASK_NAMES = re.compile(
    "apply|buffers|children|clear|compile|cpu|cuda|double|eval|float|forward|half|ipu|items|keys|modules|mtia|"
    "parameters|pop|to|train|training|type|update|values|xpu"
)

HeadName = Literal["binary", "zero_inflated_lognormal", "multilabel", "regression", "ordinal", "multiclass"]
CLASS_HEADS = frozenset({"ordinal", "multiclass"})
EVENT_HEADS = frozenset({"binary", "zero_inflated_lognormal", "multilabel"})  # they have negatives


class TaskConfig(StrictModel):
    """One label to predict.

    `negatives_sampled` says that the task's negatives were kept at the spec's `negative_sampling_rate`,
    so that its probability has to be corrected. The number of labels of a multilabel task comes from the
    data: `TrainSpec.label_names`. Labels of an ordinal or multiclass task are 0 to `num_classes` - 1.

    `depends_on` names the task without which this one cannot happen, as a purchase cannot without a click.
    Both labels are of all rows: `label_purchase` is 0, not null, where nothing was clicked.

    A `detached` task learns from what the others share, but its loss moves its tower and head alone: for a
    task that joint learning helps or hurts at the others' cost.
    """

    name: str
    head: HeadName
    label: str
    loss_weight: PositiveFloat
    negatives_sampled: bool = False
    num_classes: Annotated[int, Field(ge=2)] | None = None
    depends_on: str | None = None
    calibration: CalibrationMethod | None = None
    detached: bool = False

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


def check_dependencies(tasks: Sequence[TaskConfig]) -> None:
    """Raises ValueError unless each parent is listed before its task, so that there is no cycle."""
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
