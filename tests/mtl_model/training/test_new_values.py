"""Values that the final pass brings: rows of their own then, unknown to the model that is judged."""

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from mtl_model.config import TrainSpec
from mtl_model.predict import Predictions, load_predictor
from mtl_model.training.losses import JointLoss, joint_loss
from tests.mtl_model.conftest import FACTORIZATION, LIST_FIELDS, MODEL, make_examples
from tests.mtl_model.training.test_train import ROWWISE, run_alone, same, train_by_torchrun

MakeSpec = Callable[..., TrainSpec]
NUM_ROWS = 300
NEW = {"user_id": ["a new user", "u7b"], "item_id": ["a new item"], "departments": ["A"]}
SLICES = [{"name": "dear", "column": "price", "at_least": 5.0}]
STEM = {"name": "stem", "num_shared_experts": 1, "num_task_experts": 1, "expert_hidden_dims": [8]}
VARIANTS: dict[str, dict[str, Any]] = {
    "adamw": {},
    "rowwise": {"training": ROWWISE},
    "an embedding per task": {"sharing": {"name": "single_task", "hidden_dims": [8]}, "training": ROWWISE},
    "some embeddings per task": {"sharing": STEM | {"task_fields": ["user_id"]}},
    "factors": {"factorization": FACTORIZATION},
    "gradient aggregation": {"balancing": {"name": "mgda"}},
    "weighted rows": {"slices": SLICES, "transfer": {"target": "dear", "instance_weighting": {}}},
    "frozen embeddings": {"transfer": {"freeze": {"parts": ["embedding"]}}},
}


def plant(rows: pa.Table, values: Mapping[str, Sequence[str]], seed: int = 0) -> pa.Table:
    """The rows, half of them with one of the values in each column; in lists behind what they hold."""
    rng = np.random.default_rng(seed)
    for name, choices in {**values, "bought_before": values["item_id"]}.items():
        column = rows[name].to_pylist()
        for row in np.flatnonzero(rng.random(len(rows)) < 0.5):
            chosen = str(rng.choice(choices))
            column[row] = [*(column[row] or []), chosen] if name in LISTS else chosen
        field = rows.schema.field(name)
        rows = rows.set_column(rows.column_names.index(name), field, pa.array(column, field.type))
    return rows


LISTS = {"bought_before", "departments"}
RENAMED = {name: [f"never seen {number}" for number, _ in enumerate(new)] for name, new in NEW.items()}


@pytest.fixture
def make(make_spec: MakeSpec, tmp_path: Path) -> MakeSpec:
    """A spec of a model with lists, whose final rows hold new values; `parts` replace those of the model."""

    def spec(output: str, parts: dict[str, Any] | None = None, **changes: Any) -> TrainSpec:
        given = parts or {}
        training = MODEL["training"] | {"epochs": 1, "global_batch_size": 64} | given.get("training", {})
        fields = [*MODEL["fields"], *LIST_FIELDS]
        vocabularies = {name: str(path) for name, path in make_spec(num_rows=4).vocabularies.items()}
        vocabularies["departments"] = str(tmp_path / "departments.parquet")
        final = tmp_path / "final.parquet"
        pq.write_table(plant(make_examples(NUM_ROWS, seed=3), NEW), final, row_group_size=100)
        for name, values in NEW.items():
            pq.write_table(pa.table({"value": values}), tmp_path / f"{name}.new.parquet")
        content = {
            "model": MODEL | {"fields": fields} | given | {"training": training},
            "vocabularies": vocabularies,
            "new_values": {name: str(tmp_path / f"{name}.new.parquet") for name in NEW},
            "final_files": [str(final)],
        }
        return make_spec(output, NUM_ROWS, changes=content | changes)

    return spec


def predict(spec: TrainSpec, rows: pa.Table, weights: str) -> Predictions:
    return load_predictor(spec.output_dir, weights="judged" if weights == "judged" else "model").predict(rows)


def equal(first: Predictions, second: Predictions) -> bool:
    return all(np.array_equal(first[task], second[task]) for task in first)


@pytest.mark.parametrize("parts", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_model_that_is_judged_does_not_know_them_and_the_one_that_serves_does(
    make: MakeSpec, parts: dict[str, Any]
) -> None:
    spec, without = make("model", parts), make("without", parts, new_values={})

    for each in (spec, without):
        run_alone(each)

    judged = [load_file(each.output_dir / "judged.safetensors") for each in (spec, without)]
    assert same(*judged)
    metrics = [(each.output_dir / "metrics.json").read_bytes() for each in (spec, without)]
    assert metrics[0] == metrics[1]
    rows = make_examples(NUM_ROWS, seed=5)
    planted, unknown = plant(rows, NEW), plant(rows, RENAMED)
    assert equal(predict(spec, planted, "judged"), predict(spec, unknown, "judged"))
    assert equal(predict(without, planted, "model"), predict(without, unknown, "model"))
    served = load_file(spec.output_dir / "model.safetensors")
    grown = sum(len(served[name]) - len(judged[0][name]) for name in served if "tables" in name)
    assert grown == sum(map(len, NEW.values()))
    frozen = "freeze" in parts.get("transfer", {})
    assert equal(predict(spec, planted, "model"), predict(spec, unknown, "model")) == frozen


def test_a_later_training_finds_weights_by_their_values(make: MakeSpec, tmp_path: Path) -> None:
    first = make("first")
    run_alone(first)
    moved = {}
    for name, path in first.vocabularies.items():
        known = pq.read_table(path)["value"].to_pylist()
        moved[name] = str(tmp_path / f"{name}.moved.parquet")
        pq.write_table(pa.table({"value": [*NEW[name], *reversed(known)]}), moved[name])
    start = {"model_dir": str(first.output_dir), "weights": "judged"}
    second = make("second", train_files=[], vocabularies=moved, new_values={}, warm_start=start)

    run_alone(second)

    rows = plant(make_examples(NUM_ROWS, seed=5), NEW)
    before, now = (predict(spec, rows, "judged") for spec in (first, second))
    for task in before:
        np.testing.assert_allclose(before[task], now[task], rtol=1e-5, atol=1e-6, err_msg=task)
    assert not equal(predict(second, rows, "judged"), predict(second, rows, "model"))


def break_off(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The training that runs next ends with an error in this step."""
    steps = count(1)

    def fail_in_step(*given: Any) -> JointLoss:
        if next(steps) == step:
            raise InterruptedError("broken off")
        return joint_loss(*given)

    monkeypatch.setattr("mtl_model.training.train.joint_loss", fail_in_step)


@pytest.mark.parametrize(
    ("final_step", "parts"),
    [
        pytest.param(3, {}, id="in its middle, adamw"),
        pytest.param(3, {"training": ROWWISE}, id="in its middle, rowwise_adagrad"),
        pytest.param(1, {}, id="in its first step"),
    ],
)
def test_a_broken_off_final_pass_goes_on_and_ends_with_the_same_weights(
    make: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, final_step: int, parts: dict[str, Any]
) -> None:
    training = {"checkpoint_every_steps": 1, "global_batch_size": 75, "epochs": 2} | parts.get("training", {})
    stopping = {"early_stopping": {"task": "purchase", "metric": "auc", "patience": 5}}
    whole, broken = (make(name, {"training": training | stopping}) for name in ("whole", "broken"))
    run_alone(whole)
    train_steps = 2 * -(-NUM_ROWS // 75)

    with monkeypatch.context() as patch:
        break_off(patch, train_steps + final_step)
        with pytest.raises(InterruptedError):
            run_alone(broken)
    newest = max(path.name for path in (tmp_path / "broken.partial" / "checkpoints").iterdir())
    run_alone(broken)

    assert int(newest.split("-")[1]) == train_steps + final_step - 1
    for name in ("model.safetensors", "judged.safetensors"):
        assert same(load_file(whole.output_dir / name), load_file(broken.output_dir / name)), name


def test_several_processes_give_them_the_rows_of_one(make: MakeSpec, tmp_path: Path) -> None:
    variants = {
        name: VARIANTS[name]["training"] if name == "rowwise" else {}
        for name in ("adamw", "rowwise", "gradient aggregation")
    }
    specs = {
        (name, processes): make(
            f"{name} {processes}", VARIANTS[name] | {"training": training | {"num_processes": 2}}
        )
        for name, training in variants.items()
        for processes in (1, 2)
    }

    for (_, processes), spec in specs.items():
        if processes == 1:
            run_alone(spec)
    first, *others = (spec for (_, processes), spec in specs.items() if processes == 2)
    completed = train_by_torchrun(first, tmp_path, *others)

    assert completed.returncode == 0, completed.stderr
    for name in variants:
        alone, two = (load_file(specs[name, count].output_dir / "model.safetensors") for count in (1, 2))
        torch.testing.assert_close(two, alone, rtol=1e-3, atol=1e-4, msg=name)


def test_new_values_need_a_final_pass_and_a_vocabulary(make: MakeSpec) -> None:
    with pytest.raises(ValidationError, match="new_values have their first rows in final_files"):
        make("model", final_files=[])
    with pytest.raises(ValidationError, match=r"new_values are of fields without a vocabulary: \['price'\]"):
        make("model", new_values={"price": "v.parquet"})


def test_a_new_value_that_is_known_is_refused(make: MakeSpec) -> None:
    spec = make("model")
    pq.write_table(pa.table({"value": ["u3"]}), spec.new_values["user_id"])

    with pytest.raises(ValueError, match=r"vocabulary of user_id in .*new.parquet has nulls or repeated"):
        run_alone(spec)
