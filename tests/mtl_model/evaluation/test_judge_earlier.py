"""An earlier model of random weights, changed in one thing at a time, on the examples of today's model."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mtl_model.config import DataSpec, ModelConfig, ModelDescription
from mtl_model.earlier_model import UnusableModelError
from mtl_model.evaluation.evaluate import evaluate
from mtl_model.evaluation.judge_earlier import judge_earlier
from mtl_model.model_folder import write_manifest
from tests.mtl_model.conftest import DEPARTMENTS, LIST_FIELDS, MODEL, make_examples
from tests.mtl_model.small_model import write_folder as write_model_folder

LABELS = {"interest": DEPARTMENTS}
CHANNEL = {
    "name": "channel",
    "head": "multiclass",
    "label": "label_channel",
    "num_classes": 3,
    "loss_weight": 1.0,
}
FUNNEL = [
    {"name": name, "head": "binary", "label": f"label_{name}", "loss_weight": 1.0, "depends_on": parent}
    for name, parent in (("click", None), ("cart", "click"))
]
COUPON: dict[str, Any] = MODEL["tasks"][3]
SLICES = [
    {"name": "cheap", "column": "price", "at_most": 4.0},
    {"name": "own", "column": "days_since", "at_most": 9},
]
TODAY_FIELDS = [*MODEL["fields"], *LIST_FIELDS]
TODAY_TASKS = [*MODEL["tasks"], CHANNEL, *FUNNEL]


def describe(
    fields: Sequence[Any] = TODAY_FIELDS,
    tasks: Sequence[Any] = TODAY_TASKS,
    slices: Sequence[Any] = SLICES,
    labels: Mapping[str, tuple[str, ...]] = LABELS,
) -> ModelDescription:
    parts = {
        "fields": fields,
        "tasks": tasks,
        "slices": slices,
        "sharing": {"name": "shared_bottom", "hidden_dims": [8]},
    }
    model = ModelConfig.model_validate_json(json.dumps(MODEL | parts))
    numbers = {
        field.name: {"mean": 4.0, "std": 2.0, "boundaries": range(1, 8)} for field in model.numeric_fields
    }
    names = {name: labels[name] for name in labels if name in {task.name for task in model.tasks}}
    data = {"numeric_statistics": numbers, "label_names": names, "negative_sampling_rate": 0.5}
    return ModelDescription(model=model, data=DataSpec.model_validate(data))


def write_folder(folder: Path, description: ModelDescription) -> Path:
    return write_model_folder(folder, description, {"departments": DEPARTMENTS})


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Today's examples: the columns that today's model reads."""
    path = tmp_path / "examples.parquet"
    pq.write_table(make_examples(400, seed=5), path, row_group_size=150)
    return [path]


def without(name: str, entries: Sequence[Any]) -> list[Any]:
    return [entry for entry in entries if entry["name"] != name]


def drop(files: Sequence[Path], *columns: str) -> None:
    for path in files:
        pq.write_table(pq.read_table(path).drop_columns(list(columns)), path)


def test_a_model_like_todays_is_judged_in_full(tmp_path: Path, files: list[Path]) -> None:
    folder = write_folder(tmp_path / "m", describe())

    judged = judge_earlier(folder, files, describe())

    assert judged.gaps == ()
    assert judged.metrics == evaluate(folder, files)
    assert judged.metrics.keys() == {*(task["name"] for task in TODAY_TASKS), "cart|click"}


@pytest.mark.parametrize("name", ["item_id", "price", "departments", "query", "bought_before"])
def test_a_field_that_the_examples_have_no_more_is_null_to_it(
    tmp_path: Path, files: list[Path], name: str
) -> None:
    folder = write_folder(tmp_path / "m", describe())
    shared = "bought_before" if name == "item_id" else name  # it shares the embeddings of the items
    fields = without(shared, without(name, TODAY_FIELDS))
    slices = [part for part in SLICES if part["column"] != name]
    in_full = evaluate(folder, files)["purchase"]
    drop(files, name)

    judged = judge_earlier(folder, files, describe(fields=fields, slices=slices))

    assert judged.gaps == (f"its field {name} is null now",)
    assert judged.metrics["purchase"]["rows"] == in_full["rows"] > 0
    assert judged.metrics["purchase"]["log_loss"] != in_full["log_loss"]
    assert set(judged.metrics["purchase"]["slices"]) == {part["name"] for part in slices}


@pytest.mark.parametrize("name", ["user_id", "price", "departments", "query"])
def test_a_field_that_the_examples_still_have_is_read(tmp_path: Path, files: list[Path], name: str) -> None:
    folder = write_folder(tmp_path / "m", describe(slices=[]))

    judged = judge_earlier(folder, files, describe(fields=without(name, TODAY_FIELDS), slices=[]))

    assert judged.gaps == ()
    assert judged.metrics == evaluate(folder, files)


Change = Callable[[], ModelDescription]


@pytest.mark.parametrize(
    ("earlier", "today", "lost", "gap"),
    [
        pytest.param(
            describe, lambda: describe(tasks=without("coupon", TODAY_TASKS)), {"coupon"},
            "its task coupon is no longer one", id="a task removed",
        ),
        pytest.param(
            lambda: describe(tasks=without("coupon", TODAY_TASKS)), describe, set(), "it has no task coupon",
            id="a task added",
        ),
        pytest.param(
            describe, lambda: describe(labels={"interest": (*DEPARTMENTS, "new")}), {"interest"},
            "its task interest had another set of labels", id="a category more",
        ),
        pytest.param(
            lambda: describe(tasks=[*MODEL["tasks"], CHANNEL | {"num_classes": 2}, *FUNNEL]), describe,
            {"channel"}, "its task channel had another num_classes", id="a class more",
        ),
        pytest.param(
            lambda: describe(tasks=[*MODEL["tasks"], CHANNEL | {"num_classes": 9}, *FUNNEL]), describe,
            {"channel"}, "its task channel had another num_classes", id="classes less",
        ),
        pytest.param(
            lambda: describe(tasks=[*without("coupon", TODAY_TASKS), COUPON | {"label": "label_old"}]),
            describe, {"coupon"}, "its task coupon had another label", id="a label gone",
        ),
        pytest.param(
            lambda: describe(tasks=[*MODEL["tasks"], CHANNEL, FUNNEL[0] | {"label": "label_old"}, FUNNEL[1]]),
            describe, {"click", "cart", "cart|click"},
            "its task click had another label; its task cart depends on click",
            id="the label of the task that another depends on",
        ),
    ],
)  # fmt: skip
def test_the_tasks_that_both_have_are_compared(
    tmp_path: Path, files: list[Path], earlier: Change, today: Change, lost: set[str], gap: str
) -> None:
    folder = write_folder(tmp_path / "m", earlier())
    drop(files, *({"label_coupon"} if gap == "its task coupon is no longer one" else ()))

    judged = judge_earlier(folder, files, today())

    both = {*(task.name for task in earlier().model.tasks), "cart|click"} - lost
    assert judged.metrics.keys() == both
    assert all(judged.metrics[name]["rows"] > 0 for name in both)
    assert gap in "; ".join(judged.gaps)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_text("{}")


@pytest.mark.parametrize(
    ("name", "spoil", "reason"),
    [
        ("model.safetensors", flip, "changed"),
        ("model.safetensors", cut, "changed"),
        ("model.safetensors", Path.unlink, "missing"),
        ("model.json", empty, "changed"),
        ("vocabularies/item_id.parquet", Path.unlink, "missing"),
        ("manifest.json", Path.unlink, "not a finished model folder"),
        (".", lambda path: path.rename(path.with_name("other")), "is gone"),
    ],
)
def test_a_damaged_model_is_unusable(
    tmp_path: Path, files: list[Path], name: str, spoil: Callable[[Path], object], reason: str
) -> None:
    folder = write_folder(tmp_path / "m", describe())
    spoil(folder / name)

    with pytest.raises(UnusableModelError, match=reason):
        judge_earlier(folder, files, describe())


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "vocabularies/item_id.parquet"])
def test_a_folder_of_another_version_of_the_project_is_unusable(
    tmp_path: Path, files: list[Path], name: str
) -> None:
    folder = write_folder(tmp_path / "m", describe())
    other = write_folder(tmp_path / "other/m", describe(tasks=without("coupon", TODAY_TASKS)))
    content = {"model.json": b'{"model": {"of": "later"}}', "vocabularies/item_id.parquet": b"PAR1"}
    (folder / name).write_bytes(content.get(name) or (other / name).read_bytes())
    write_manifest(folder)

    with pytest.raises(UnusableModelError):
        judge_earlier(folder, files, describe())


def test_a_field_of_another_kind_makes_it_unusable(tmp_path: Path, files: list[Path]) -> None:
    folder = write_folder(tmp_path / "m", describe())
    of_text = [*without("price", TODAY_FIELDS), {"kind": "id", "name": "price"}]

    with pytest.raises(UnusableModelError, match="it reads field price as number, which is id now"):
        judge_earlier(folder, files, describe(fields=of_text, slices=[]))


def test_no_task_in_common_makes_it_unusable(tmp_path: Path, files: list[Path]) -> None:
    folder = write_folder(tmp_path / "m", describe(tasks=[CHANNEL]))

    with pytest.raises(UnusableModelError, match="no task in common with today's model"):
        judge_earlier(folder, files, describe(tasks=FUNNEL))


def test_damaged_examples_are_no_fault_of_the_model(tmp_path: Path, files: list[Path]) -> None:
    folder = write_folder(tmp_path / "m", describe())
    content = bytearray(files[0].read_bytes())
    content[100:5000] = bytes(4900)
    files[0].write_bytes(content)

    with pytest.raises(Exception) as error:  # noqa: PT011
        judge_earlier(folder, files, describe())
    assert not isinstance(error.value, UnusableModelError)
