import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from mtl_model.config import TrainSpec, WarmStart
from mtl_model.model import JointModel
from mtl_model.model_folder import read_model, write_manifest, write_model
from mtl_model.training.process_group import join_process_group
from mtl_model.training.train import train
from mtl_model.transfer.warm_start import warm_start
from tests.mtl_model.transfer.carry_over import build, describe

MakeSpec = Callable[..., TrainSpec]


@pytest.fixture
def earlier(make_spec: MakeSpec, tmp_path: Path) -> Path:
    """A finished folder whose judged weights are not those that serve."""
    spec, folder = make_spec(num_rows=10), tmp_path / "earlier"
    folder.mkdir()
    write_model(folder, build(spec), describe(spec)[1], spec.vocabularies)
    (folder / "judged.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    write_model(folder, build(spec), describe(spec)[1], spec.vocabularies)
    write_manifest(folder)
    return folder


def with_model(spec: TrainSpec, **changes: Any) -> TrainSpec:
    return TrainSpec.model_validate_json(
        json.dumps({**json.loads(spec.model_dump_json()), "model": {**_model(spec), **changes}})
    )


def _model(spec: TrainSpec) -> dict[str, Any]:
    return dict(json.loads(spec.model.model_dump_json()))


def start(model: JointModel, spec: TrainSpec, earlier: Path) -> list[str]:
    encoder, description = describe(spec)
    return warm_start(model, encoder, description, WarmStart(model_dir=earlier, weights="judged"))


def test_ids_keep_their_weights_where_the_vocabulary_grew_and_moved(
    make_spec: MakeSpec, earlier: Path
) -> None:
    spec = make_spec(num_rows=10)
    grown = ["new", "u3", "u0", "newer", *(f"u{number}" for number in range(49, 5, -1))]
    pq.write_table(pa.table({"value": grown}), spec.vocabularies["user_id"])
    model = build(spec)

    afresh = start(model, spec, earlier)

    before, encoder, _ = read_model(earlier, weights="judged")
    old, new = before.embedding.slot_weights(0), model.embedding.slot_weights(0)
    known = encoder.vocabularies["user_id"].values.to_pylist()
    assert afresh == []
    assert len(new) == len(grown) + 2
    for row, user in enumerate(grown, start=2):
        assert torch.equal(new[row], old[known.index(user) + 2 if user in known else 1]), user
    assert torch.equal(new[:2], old[:2])
    for slot in (1, 2):
        assert torch.equal(model.embedding.slot_weights(slot), before.embedding.slot_weights(slot))
    rest = {name: weights for name, weights in before.state_dict().items() if "embedding" not in name}
    assert all(torch.equal(model.state_dict()[name], weights) for name, weights in rest.items())


def test_what_has_another_shape_begins_afresh_and_is_named(make_spec: MakeSpec, earlier: Path) -> None:
    fields = [*_model(make_spec())["fields"][1:], {"kind": "id", "name": "user_id", "embedding_dim": 6}]
    spec = with_model(make_spec(num_rows=10), tower_hidden_dims=[9], fields=fields)
    model = build(spec)
    at_first = {name: weights.clone() for name, weights in model.state_dict().items()}

    afresh = start(model, spec, earlier)

    assert "embedding of user_id" in afresh
    assert "embedding of item_id" not in afresh
    towers = {name for name in at_first if name.startswith("towers.")}
    assert towers <= set(afresh)
    assert all(torch.equal(model.state_dict()[name], at_first[name]) for name in towers)


def test_numbers_that_are_standardised_otherwise_are_refused(make_spec: MakeSpec, earlier: Path) -> None:
    price = {"mean": 5.1, "std": 2.3}
    numbers = make_spec().model_dump(mode="json")["numeric_statistics"] | {"price": price}
    spec = make_spec(num_rows=10, changes={"numeric_statistics": numbers})

    with pytest.raises(ValueError, match=r"\['price'\] differ from those of .*earlier"):
        start(build(spec), spec, earlier)


def test_numbers_that_are_another_kind_of_number_now_have_statistics_of_their_own(
    make_spec: MakeSpec, earlier: Path
) -> None:
    price = {"mean": 1.5, "std": 0.4}
    numbers = make_spec().model_dump(mode="json")["numeric_statistics"] | {"price": price}
    *fields, last = _model(make_spec())["fields"]
    changes = {"numeric_statistics": numbers}
    spec = with_model(make_spec(num_rows=10, changes=changes), fields=[*fields, last | {"log1p": True}])

    afresh = start(build(spec), spec, earlier)

    assert last["name"] == "price"
    assert {name.split(".")[0] for name in afresh} == {"sharing"}


def test_a_training_may_carry_on_with_nothing_new_before_the_judging(
    make_spec: MakeSpec, write_examples: Callable[..., list[Path]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    final = {"final_files": [str(path) for path in write_examples("final", 500, seed=3)]}
    first = make_spec("first", num_rows=500, changes=final)
    carried = {"train_files": [], "warm_start": {"model_dir": str(first.output_dir), "weights": "judged"}}
    second = make_spec("second", num_rows=500, changes=final | carried)

    for spec in (first, second):
        with join_process_group() as group:
            train(spec, group)

    judged = [load_file(spec.output_dir / "judged.safetensors") for spec in (first, second)]
    served = [load_file(spec.output_dir / "model.safetensors") for spec in (first, second)]
    assert f"started from {first.output_dir}; afresh: nothing" in caplog.text
    assert all(torch.equal(judged[0][name], judged[1][name]) for name in judged[0])
    assert not all(torch.equal(served[1][name], judged[1][name]) for name in judged[1])
    metrics = [json.loads((spec.output_dir / "metrics.json").read_bytes()) for spec in (first, second)]
    assert metrics[0] == metrics[1]


def test_a_training_from_scratch_needs_examples(make_spec: MakeSpec) -> None:
    with pytest.raises(ValidationError, match="train_files are empty"):
        make_spec(changes={"train_files": []})


def test_a_field_with_fewer_rows_begins_afresh(make_spec: MakeSpec, tmp_path: Path) -> None:
    def of_hashes(num_hash_rows: int) -> TrainSpec:
        hashed = {"kind": "hashed_id", "name": "query", "num_hash_rows": num_hash_rows}
        return with_model(make_spec(num_rows=10), fields=[*_model(make_spec())["fields"], hashed])

    first, folder = of_hashes(30), tmp_path / "earlier"
    folder.mkdir()
    write_model(folder, build(first), describe(first)[1], first.vocabularies)
    write_manifest(folder)
    start = WarmStart(model_dir=folder, weights="model")

    afresh = {}
    for num_hash_rows in (30, 20):
        spec = of_hashes(num_hash_rows)
        afresh[num_hash_rows] = warm_start(build(spec), *describe(spec), start)

    assert afresh == {30: [], 20: ["embedding of query"]}
