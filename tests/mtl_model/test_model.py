import json
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from mtl_model.config import TrainSpec
from mtl_model.data.encode import Encoder
from mtl_model.layers.config import FactorizationConfig
from mtl_model.model import JointModel, build_model
from mtl_model.model_folder import read_vocabularies

BuildModel = Callable[..., JointModel]
IDS = torch.tensor([[3, 2, 0], [0, 1, 5]])
NUMBERS = torch.tensor([[0.5, -1.0], [0.0, 2.0]])


@pytest.fixture
def build(make_spec: Callable[..., TrainSpec]) -> BuildModel:
    def build_with(**training: int) -> JointModel:
        spec = make_spec(num_rows=10, **training)
        return build_model(spec.model, Encoder(spec.model, spec, read_vocabularies(spec.vocabularies)))

    return build_with


def test_each_task_gets_the_logits_of_its_head(build: BuildModel) -> None:
    logits = build()(IDS, NUMBERS)

    widths = {"purchase": 1, "spend": 3, "interest": 3, "coupon": 1}
    assert {task: tuple(rows.shape) for task, rows in logits.items()} == {
        task: (2, width) for task, width in widths.items()
    }


@pytest.mark.parametrize("num_rows", [0, 1])
def test_a_small_batch_gives_a_gradient_to_every_weight(build: BuildModel, num_rows: int) -> None:
    model = build()

    logits = model(IDS[:num_rows], NUMBERS[:num_rows])
    torch.autograd.backward(torch.stack([rows.sum() for rows in logits.values()]).sum())

    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert bool(weight.grad.abs().sum() > 0) == bool(num_rows) or name.startswith("sharing.gates"), name


def test_the_seed_alone_decides_the_first_weights(build: BuildModel) -> None:
    first, again, other = build(seed=1).state_dict(), build(seed=1).state_dict(), build(seed=2).state_dict()

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embedding.tables.4"], other["embedding.tables.4"])


def test_factors_feed_the_heads_and_their_squares_the_losses_while_training(
    make_spec: Callable[..., TrainSpec],
) -> None:
    spec = make_spec(num_rows=10)
    factors = FactorizationConfig(num_factors=3, sides=(("user_id",), ("item_id",)), penalty=0.5)
    config = spec.model.model_copy(update={"factorization": factors})
    model = build_model(config, Encoder(config, spec, read_vocabularies(spec.vocabularies)))
    user, item = (model.embedding.slot_weights(slot) for slot in (0, 1))

    logits, served = model(IDS, NUMBERS), model.eval()(IDS, NUMBERS)
    with torch.no_grad():
        user[3, :3] += 1.0
    moved = model(IDS, NUMBERS)

    assert set(logits) - set(served) == {f"{task.name}.penalty" for task in config.tasks}
    before = torch.cat([user[3, :3] - 1.0, user[3, 3:], item[2]])
    torch.testing.assert_close(logits["coupon.penalty"][0], 0.5 * before.square().sum())
    torch.testing.assert_close(moved["purchase"][0] - served["purchase"][0], 1.5 * item[2, :3].sum()[None])
    assert torch.equal(moved["purchase"][1], served["purchase"][1])


@pytest.mark.parametrize("factored", [False, True], ids=["", "factored"])
@pytest.mark.parametrize("sharing", ["shared_bottom", "mmoe", "ple"])
def test_a_detached_tasks_loss_moves_its_tower_and_head_alone(
    make_spec: Callable[..., TrainSpec], sharing: str, factored: bool
) -> None:
    settings: dict[str, dict[str, Any]] = {
        "shared_bottom": {"hidden_dims": [8]},
        "mmoe": {"num_experts": 2, "expert_hidden_dims": [8]},
        "ple": {"num_levels": 1, "num_shared_experts": 1, "num_task_experts": 1, "expert_hidden_dims": [8]},
    }
    content = json.loads(make_spec().model.model_dump_json())
    content["sharing"] = {"name": sharing} | settings[sharing]
    content["tasks"][0]["detached"] = True
    if factored:
        content["factorization"] = {"num_factors": 3, "sides": [["user_id"], ["item_id"]], "penalty": 0.5}
    spec = make_spec(num_rows=200, changes={"model": content})
    encoder = Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))
    model = build_model(spec.model, encoder).train()
    batch = encoder.encode(pq.read_table(spec.train_files[0]))

    def moved(task: str) -> set[str]:
        model.zero_grad(set_to_none=True)
        outputs = model(batch.ids, batch.numbers)
        of_task = [outputs[name] for name in (task, f"{task}.penalty") if name in outputs]
        torch.autograd.backward(torch.stack([output.square().sum() for output in of_task]).sum())
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        return {name for name, gradient in gradients.items() if gradient is not None and gradient.any()}

    prefixes = "towers.purchase", "heads.purchase"
    own = {name for name, _ in model.named_parameters() if name.startswith(prefixes)}
    assert moved("purchase") == own
    assert {name.split(".")[0] for name in moved("coupon")} == {"embedding", "sharing", "towers", "heads"}
