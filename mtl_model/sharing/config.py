"""The settings of each way of sharing, by `name`; the module of that name has the paper and the formula."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mtl_model.strict_model import StrictModel

HiddenDims = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class SharingSettings(StrictModel):
    """Of a way of sharing: what it asks of the tasks.

    `is_funnel`: reads their `depends_on`; `has_towers`: false where heads must follow at once; `is_shared`:
    false where tasks share nothing.
    """

    name: str
    is_funnel: ClassVar[bool] = False
    has_towers: ClassVar[bool] = True
    is_shared: ClassVar[bool] = True

    def check_names(self, tasks: Sequence[str], embedded_fields: Sequence[str]) -> None:
        """Raises ValueError where the settings do not fit the model's tasks and fields."""

    def check_detached(self, attached: Sequence[str], num_tasks: int) -> None:
        """Raises ValueError where a task is detached and cannot be."""
        if len(attached) == num_tasks:
            return
        if self.is_funnel or not self.is_shared:
            raise ValueError(
                f"no task can be detached under sharing {self.name}: its tasks are joined by their logits, "
                "or share nothing"
            )
        if not attached:
            raise ValueError("all tasks are detached: none is left to train what they share")


class SingleTaskConfig(SharingSettings):
    is_shared = False
    name: Literal["single_task"]
    hidden_dims: HiddenDims


class SharedBottomConfig(SharingSettings):
    name: Literal["shared_bottom"]
    hidden_dims: HiddenDims


class L2TiedConfig(SharingSettings):
    name: Literal["l2_tied"]
    hidden_dims: HiddenDims
    tie_weight: PositiveFloat


class CrossStitchConfig(SharingSettings):
    name: Literal["cross_stitch"]
    hidden_dims: HiddenDims


class TaskEmbeddingConfig(SharingSettings):
    name: Literal["task_embedding"]
    hidden_dims: HiddenDims
    task_embedding_dim: PositiveInt


class TaskRelationshipConfig(SharingSettings):
    has_towers = False  # its covariance compares weights of one common representation
    name: Literal["task_relationship"]
    hidden_dims: HiddenDims
    relationship_weight: PositiveFloat


class OMoEConfig(SharingSettings):
    name: Literal["omoe"]
    num_experts: PositiveInt
    expert_hidden_dims: HiddenDims


class MMoEConfig(SharingSettings):
    name: Literal["mmoe"]
    num_experts: PositiveInt
    expert_hidden_dims: HiddenDims


class PLEConfig(SharingSettings):
    """One level is CGC."""

    name: Literal["ple"]
    num_levels: PositiveInt
    num_shared_experts: PositiveInt
    num_task_experts: PositiveInt
    expert_hidden_dims: HiddenDims


class HoMEConfig(SharingSettings):
    """`groups`: the tasks of each group, by the group's name."""

    name: Literal["home"]
    groups: Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]
    num_shared_experts: PositiveInt
    num_group_experts: PositiveInt
    num_task_experts: PositiveInt
    expert_hidden_dims: HiddenDims
    feature_gate_rank: PositiveInt

    def check_names(self, tasks: Sequence[str], embedded_fields: Sequence[str]) -> None:
        grouped = [task for members in self.groups.values() for task in members]
        if sorted(grouped) != sorted(tasks):
            raise ValueError(f"groups must name each task once: the tasks are {list(tasks)}, got {grouped}")
        if clashing := sorted(self.groups.keys() & set(tasks)):
            raise ValueError(f"groups must not be named like tasks: {clashing}")


class STEMConfig(SharingSettings):
    """`task_fields`: those whose ids are frequent enough to be learned for each task."""

    name: Literal["stem"]
    task_fields: Annotated[tuple[str, ...], Field(min_length=1)]
    num_shared_experts: PositiveInt
    num_task_experts: PositiveInt
    expert_hidden_dims: HiddenDims

    def check_names(self, tasks: Sequence[str], embedded_fields: Sequence[str]) -> None:
        if unknown := sorted(set(self.task_fields) - set(embedded_fields)):
            raise ValueError(
                f"task_fields {unknown} have no embedding; these have: {sorted(embedded_fields)}"
            )


class ESMMConfig(SharingSettings):
    is_funnel = True
    name: Literal["esmm"]
    hidden_dims: HiddenDims


class ESCM2Config(SharingSettings):
    is_funnel = True
    name: Literal["escm2"]
    hidden_dims: HiddenDims
    estimator: Literal["ipw", "dr"]
    counterfactual_weight: PositiveFloat
    min_propensity: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05


class AITMConfig(SharingSettings):
    is_funnel = True
    name: Literal["aitm"]
    hidden_dims: HiddenDims
    calibrator_weight: PositiveFloat


class ResFlowConfig(SharingSettings):
    is_funnel = True
    has_towers = False  # a residual joins all layers up to the logit
    name: Literal["resflow"]
    hidden_dims: HiddenDims


SharingConfig = Annotated[
    SingleTaskConfig
    | SharedBottomConfig
    | L2TiedConfig
    | CrossStitchConfig
    | TaskEmbeddingConfig
    | TaskRelationshipConfig
    | OMoEConfig
    | MMoEConfig
    | PLEConfig
    | HoMEConfig
    | STEMConfig
    | ESMMConfig
    | ESCM2Config
    | AITMConfig
    | ResFlowConfig,
    Field(discriminator="name"),
]
