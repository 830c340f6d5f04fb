"""docs/tasks_and_sharing.md names every head, way of sharing and balancing with all its settings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from mtl_model.balancing.build_balancer import BALANCERS
from mtl_model.balancing.config import BalancingConfig
from mtl_model.config import HeadName, TaskConfig
from mtl_model.heads.config import check_dependencies
from mtl_model.model import SHARING
from mtl_model.sharing.config import SharingConfig

PAGE = (Path(__file__).parents[2] / "docs" / "tasks_and_sharing.md").read_text(encoding="utf-8")


def rows(section: str) -> dict[str, list[str]]:
    """The tables of a section: the name in the first column -> the cells after it."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| `(\w+)` \|(.*)\|$", text, flags=re.MULTILINE)
    return {name: [cell.strip() for cell in re.split(r"(?<!\\)\|", cells)] for name, cells in lines}


def settings(union: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    for config in get_args(get_args(union)[0]):
        for name in get_args(config.model_fields["name"].annotation):
            yield name, config


def blocks() -> list[dict[str, Any]]:
    return [yaml.safe_load(text)["model"] for text in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)]


@pytest.mark.parametrize(
    ("section", "union", "registry"),
    [
        pytest.param("Sharing", SharingConfig, SHARING, id="sharing"),
        pytest.param("Balancing", BalancingConfig, BALANCERS, id="balancing"),
    ],
)
def test_every_name_has_a_row_with_all_its_settings_and_their_defaults(
    section: str, union: Any, registry: dict[str, Any]
) -> None:
    documented = rows(section)

    assert set(documented) == set(registry) == {name for name, _ in settings(union)}
    for name, config in settings(union):
        found = dict(re.findall(r"`(\w+)`(?: \(([\d.]+)\))?", documented[name][0]))
        values = {
            key: "" if field.is_required() else f"{field.default:g}"
            for key, field in config.model_fields.items()
            if key != "name"
        }
        options = {value for field in config.model_fields.values() for value in get_args(field.annotation)}
        of_settings = {key: default for key, default in found.items() if key not in options}
        assert {key: f"{float(text):g}" if text else "" for key, text in of_settings.items()} == values, name


def test_every_head_and_every_key_of_a_task_has_a_row() -> None:
    assert set(rows("Tasks")) == {*get_args(HeadName), *TaskConfig.model_fields}


def test_the_examples_are_valid_and_use_every_head() -> None:
    tasks, sharing, balancing = blocks()

    configs = [TaskConfig.model_validate(task) for task in tasks["tasks"]]
    check_dependencies(configs)
    assert {task.head for task in configs} == set(get_args(HeadName))
    assert {key for task in tasks["tasks"] for key in task} == set(TaskConfig.model_fields)
    TypeAdapter(SharingConfig).validate_python(sharing["sharing"])
    TypeAdapter(BalancingConfig).validate_python(balancing["balancing"])
