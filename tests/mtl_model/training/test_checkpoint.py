from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim

from mtl_model.balancing.balancer import Balancer
from mtl_model.training.checkpoint import load_checkpoint, save_checkpoint


def make(seed: int) -> tuple[nn.Linear, optim.AdamW]:
    torch.manual_seed(seed)
    model = nn.Linear(3, 1)
    return model, optim.AdamW(model.parameters(), lr=0.1)


def steps(model: nn.Linear, optimizer: optim.AdamW, count: int) -> Tensor:
    for step in range(count):
        optimizer.zero_grad()
        torch.autograd.backward(model(torch.full((2, 3), 1.0 + step)).square().sum())
        optimizer.step()
    return model.weight.detach().clone()


def test_a_restored_training_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    model, optimizer = make(seed=1)
    steps(model, optimizer, 3)
    balancer, restored_balancer = Balancer(2), Balancer(2)
    balancer.state = {"log_scales": np.array([1 / 3, 0.0])}
    save_checkpoint(tmp_path, 3, model, optimizer, balancer, "digest")
    expected = steps(model, optimizer, 2)

    restored, restored_optimizer = make(seed=2)
    done = load_checkpoint(tmp_path, restored, restored_optimizer, restored_balancer, "digest")

    assert done == 3
    assert restored_balancer.state["log_scales"].tolist() == [1 / 3, 0.0]
    assert torch.equal(steps(restored, restored_optimizer, 2), expected)


def test_only_the_newest_checkpoint_stays(tmp_path: Path) -> None:
    model, optimizer = make(seed=1)
    for step in (1, 2):
        steps(model, optimizer, 1)
        save_checkpoint(tmp_path, step, model, optimizer, Balancer(2), "digest")

    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


@pytest.mark.parametrize("damage", ["other spec", "cut file", "half written"])
def test_what_is_not_a_whole_checkpoint_of_this_training_is_passed_over(tmp_path: Path, damage: str) -> None:
    model, optimizer = make(seed=1)
    steps(model, optimizer, 1)
    save_checkpoint(
        tmp_path, 1, model, optimizer, Balancer(2), "other" if damage == "other spec" else "digest"
    )
    if damage == "cut file":
        weights = tmp_path / "step-00000001" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
    if damage == "half written":
        (tmp_path / "step-00000001").rename(tmp_path / "partial")
    before = model.weight.detach().clone()

    assert load_checkpoint(tmp_path, model, optimizer, Balancer(2), "digest") == 0
    assert torch.equal(model.weight, before)
