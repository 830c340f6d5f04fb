"""What an earlier model's folder and today's model have in common: fields, tasks, labels."""

from collections.abc import Mapping
from pathlib import Path

from mtl_model.config import ModelConfig, ModelDescription, TaskConfig
from mtl_model.model_folder import verify_manifest

_COLUMN_KINDS = {"id": "id", "hashed_id": "id", "numeric": "number", "id_list": "list"}


class UnusableModelError(ValueError):
    """An earlier model that cannot be read, or cannot read today's rows."""


def read_earlier(folder: Path) -> ModelDescription:
    """The description of a whole folder.

    Raises:
        UnusableModelError: if the folder is gone, or a file of it is missing or damaged.
    """
    if not folder.is_dir():
        raise UnusableModelError(f"its folder {folder} is gone")
    try:
        verify_manifest(folder)
        return ModelDescription.model_validate_json((folder / "model.json").read_bytes())
    except ValueError as error:
        raise UnusableModelError(str(error)) from error


def refuse_other_kinds(earlier: ModelConfig, today: ModelConfig) -> None:
    """Raises UnusableModelError if a field of both reads another kind of column in each."""
    kinds = {field.name: _COLUMN_KINDS[field.kind] for field in today.fields}
    for field in earlier.fields:
        before, now = _COLUMN_KINDS[field.kind], kinds.get(field.name)
        if now not in {None, before}:
            raise UnusableModelError(f"it reads field {field.name} as {before}, which is {now} now")


def compare_tasks(earlier: ModelDescription, today: ModelDescription) -> tuple[list[TaskConfig], list[str]]:
    """The earlier model's tasks that today's has too, label, head and classes alike; and what differs."""
    ours, theirs = ({task.name: task for task in model.model.tasks} for model in (earlier, today))
    shared: dict[str, TaskConfig] = {}
    gaps = [f"it has no task {name}" for name in theirs if name not in ours]
    for name, task in ours.items():
        other = theirs.get(name)
        if other is None:
            gaps.append(f"its task {name} is no longer one")
        elif changed := _changes(task, other, earlier.data.label_names, today.data.label_names):
            gaps.append(f"its task {name} had another {' and '.join(changed)}")
        elif task.depends_on is not None and task.depends_on not in shared:
            gaps.append(f"its task {name} depends on {task.depends_on}, which is not compared")
        else:
            shared[name] = task
    return list(shared.values()), gaps


def _changes(
    task: TaskConfig,
    other: TaskConfig,
    label_names: Mapping[str, tuple[str, ...]],
    other_names: Mapping[str, tuple[str, ...]],
) -> list[str]:
    keys = ("label", "head", "num_classes", "depends_on")
    changed = [key for key in keys if getattr(task, key) != getattr(other, key)]
    return changed + ["set of labels"] * (label_names.get(task.name) != other_names.get(task.name))
