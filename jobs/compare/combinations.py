"""Which models a comparison trains: each way of sharing with each balancing, and the single-task twins.

Settings are the scenario's own; twins may be tuned, each trained with several settings of which the best
counts. A way of sharing that the scenario does not use takes its widths from the one that it does use, and
for what that one lacks the values below.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mtl_model.config import ModelConfig, TaskConfig
from mtl_model.sharing.config import SharingConfig
from mtl_model.training.config import STOPPING_METRICS

TWIN = "single_task"
_SETTINGS: Mapping[str, Any] = {
    "tie_weight": 1.0e-4,
    "task_embedding_dim": 8,
    "relationship_weight": 1.0e-4,
    "num_experts": 4,
    "num_levels": 2,
    "num_shared_experts": 2,
    "num_group_experts": 1,
    "num_task_experts": 1,
    "feature_gate_rank": 8,
    "estimator": "dr",
    "counterfactual_weight": 0.1,
    "calibrator_weight": 0.1,
}


@dataclass(frozen=True)
class Tuning:
    """Multiples of the scenario's learning rates, its widths and the penalty of its factorisation."""

    learning_rate: float = 1.0
    width: float = 1.0
    penalty: float = 1.0

    @property
    def name(self) -> str:
        return "-".join(f"{what}{multiple:g}" for what, multiple in asdict(self).items())


def describe_tuning(name: str) -> str:
    """A tuning's name as a person reads it: what is not the scenario's own."""
    changed = re.findall(r"([a-z_]+)([^-a-z]+(?:e[-+]\d+)?)", name)
    changes = [f"{what.replace('_', ' ')} x {multiple}" for what, multiple in changed if multiple != "1"]
    return ", ".join(changes) or "as the scenario"


@dataclass(frozen=True)
class Combination:
    """One model to train; `twin_of` names the task that a single-task twin is of."""

    sharing: str
    balancing: str
    seed: int
    twin_of: str | None = None
    tuning: Tuning = Tuning()

    @property
    def name(self) -> str:
        what = f"twin-{self.twin_of}" if self.twin_of else f"{self.sharing}-{self.balancing}"
        if self.tuning != Tuning():
            what += f"-{self.tuning.name}"
        return f"{what}-seed{self.seed}"


def list_combinations(
    model: ModelConfig,
    sharing: Sequence[str],
    balancing: Sequence[str],
    num_seeds: int,
    tunings: Sequence[Tuning] = (Tuning(),),
) -> list[Combination]:
    """The twins of all tasks first, with each of the tunings, seed by seed from the scenario's own seed on.

    Raises:
        ValueError: if a name is unknown, or a way of sharing does not fit the tasks.
    """
    seeds = range(model.training.seed, model.training.seed + num_seeds)
    twins = [
        Combination(TWIN, "fixed", seed, task.name, tuning)
        for seed in seeds
        for task in model.tasks
        for tuning in tunings
    ]
    joint = [Combination(way, method, seed) for seed in seeds for way in sharing for method in balancing]
    if TWIN in sharing:
        raise ValueError(f"{TWIN} is what the others are compared with: leave it out of --sharing")
    combinations = [*twins, *joint]
    for combination in combinations:
        model_of(model, combination)
    return combinations


def model_of(model: ModelConfig, combination: Combination) -> ModelConfig:
    """The scenario's model, changed to be the combination's.

    A twin has its task alone; one that depends on others has them, too, since negatives are corrected through
    them, but shares nothing with them. Where the joint model stops early, so does the twin, on its own task.

    Raises:
        ValueError: if the combination does not fit the tasks.
    """
    content = model.model_dump()
    content["training"] |= {"seed": combination.seed} | _rates(model, combination.tuning.learning_rate)
    content["sharing"] = _sharing(model, combination.sharing, combination.tuning.width)
    content["balancing"] = (
        model.balancing if combination.balancing == model.balancing.name else {"name": combination.balancing}
    )
    if combination.tuning.penalty != 1:
        if not model.factorization:
            raise ValueError("there is no factorization whose penalty could be tuned")
        content["factorization"]["penalty"] *= combination.tuning.penalty
    if not _has_towers(combination.sharing):
        content["tower_hidden_dims"] = ()
    if combination.twin_of:
        names = _with_parents(model, combination.twin_of)
        own = [task for task in content["tasks"] if task["name"] in names]
        content["tasks"] = [task | {"detached": False} for task in own]
        content["training"]["early_stopping"] = _stop_on(model, combination.twin_of)
    try:
        return ModelConfig.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())
        raise ValueError(f"{combination.sharing} with {combination.balancing}: {problems}") from error


def _with_parents(model: ModelConfig, name: str) -> set[str]:
    """A task and all that it depends on."""
    names = {name}
    while parents := {model.parents[task] for task in names if task in model.parents} - names:
        names |= parents
    return names


def _stop_on(model: ModelConfig, name: str) -> dict[str, Any] | None:
    """The scenario's early stopping moved to another task, by the same metric if the task's head has it."""
    stopping = model.training.early_stopping
    if stopping is None:
        return None
    metrics = STOPPING_METRICS[next(task.head for task in model.tasks if task.name == name)]
    metric = stopping.metric if stopping.metric in metrics else metrics[0]
    return stopping.model_dump() | {"task": name, "metric": metric}


def _rates(model: ModelConfig, multiple: float) -> dict[str, float]:
    names = ("learning_rate", "embedding_learning_rate", "final_learning_rate")
    rates = {name: getattr(model.training, name) for name in names}
    return {name: rate * multiple for name, rate in rates.items() if rate is not None}


def _sharing(model: ModelConfig, name: str, width: float) -> Any:
    own = model.sharing.model_dump()
    dims = own.get("expert_hidden_dims") or own["hidden_dims"]
    if name == model.sharing.name and width == 1:
        return model.sharing
    dims = tuple(max(round(dim * width), 1) for dim in dims)
    known = {**_SETTINGS, **own, "hidden_dims": dims, "expert_hidden_dims": dims, "name": name}
    known["groups"] = _groups(model.tasks)
    known["task_fields"] = tuple(field.name for field in model.id_fields)
    return {key: known[key] for key in _class_of(name).model_fields if key in known}


def _groups(tasks: Sequence[TaskConfig]) -> dict[str, tuple[str, ...]]:
    """A group of each funnel: a task joins that of the task that it depends on."""
    group_of: dict[str, str] = {}
    for task in tasks:
        group_of[task.name] = group_of[task.depends_on] if task.depends_on else f"with_{task.name}"
    groups = dict.fromkeys(group_of.values())
    return {group: tuple(task for task in group_of if group_of[task] == group) for group in groups}


def _class_of(name: str) -> type[BaseModel]:
    ways: tuple[type[BaseModel], ...] = get_args(get_args(SharingConfig)[0])
    by_name = {get_args(way.model_fields["name"].annotation)[0]: way for way in ways}
    if name not in by_name:
        raise ValueError(f"there is no way of sharing {name!r}: {', '.join(by_name)}")
    return by_name[name]


def _has_towers(name: str) -> bool:
    return bool(getattr(_class_of(name), "has_towers", True))
