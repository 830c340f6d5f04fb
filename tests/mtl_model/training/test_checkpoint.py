import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim

from mtl_model.balancing.balancer import Balancer
from mtl_model.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint


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
    save_checkpoint(tmp_path, 3, TrainingState(model, optimizer, balancer), "digest")
    expected = steps(model, optimizer, 2)

    restored, restored_optimizer = make(seed=2)
    state = TrainingState(restored, restored_optimizer, restored_balancer)
    done = load_checkpoint(tmp_path, state, "digest")

    assert done == 3
    assert restored_balancer.state["log_scales"].tolist() == [1 / 3, 0.0]
    assert torch.equal(steps(restored, restored_optimizer, 2), expected)


def save_steps(folder: Path, *spec_digests: str) -> tuple[nn.Linear, optim.AdamW, list[Tensor]]:
    """A checkpoint after each step; returns the weights at each as well."""
    model, optimizer = make(seed=1)
    saved = []
    for step, spec_digest in enumerate(spec_digests, start=1):
        saved.append(steps(model, optimizer, 1))
        save_checkpoint(folder, step, TrainingState(model, optimizer, Balancer(2)), spec_digest)
    return model, optimizer, saved


def test_the_newest_checkpoint_stays_and_the_one_before_it(tmp_path: Path) -> None:
    save_steps(tmp_path, "digest", "digest", "digest")

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000002-digest",
        "step-00000003-digest",
    ]


def damage(folder: Path, how: str) -> None:
    weights = folder / "model.safetensors"
    if how == "torn":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif how == "torn manifest":
        (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:-9])
    elif how == "tampered with":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    elif how == "pickle":
        (folder / "optimizer.pt").write_bytes(pickle.dumps({"step": 2}))
    elif how == "half written":
        folder.rename(folder.with_name("partial"))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("torn", r"step-00000002-digest .* changed \['model.safetensors'\]"),
        ("torn manifest", r"step-00000002-digest has a manifest.json that is not JSON"),
        ("tampered with", r"step-00000002-digest .* changed \['model.safetensors'\]"),
        ("pickle", r"step-00000002-digest holds pickles, which run code when loaded: \['optimizer.pt'\]"),
        ("half written", ""),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str, said: str
) -> None:
    _, _, saved = save_steps(tmp_path, "digest", "digest")
    damage(tmp_path / "step-00000002-digest", how)
    model, optimizer = make(seed=2)

    done = load_checkpoint(tmp_path, TrainingState(model, optimizer, Balancer(2)), "digest")

    assert done == 1
    assert torch.equal(model.weight, saved[0])
    assert re.search(said, caplog.text)


def test_the_step_of_a_damaged_checkpoint_is_saved_again(tmp_path: Path) -> None:
    model, optimizer, saved = save_steps(tmp_path, "digest", "digest")
    damage(tmp_path / "step-00000002-digest", "torn")

    save_checkpoint(tmp_path, 2, TrainingState(model, optimizer, Balancer(2)), "digest")

    assert load_checkpoint(tmp_path, TrainingState(model, optimizer, Balancer(2)), "digest") == 2
    assert torch.equal(model.weight, saved[1])


def test_a_checkpoint_of_another_spec_is_passed_over(tmp_path: Path) -> None:
    model, optimizer, _ = save_steps(tmp_path, "other")
    before = model.weight.detach().clone()

    assert load_checkpoint(tmp_path, TrainingState(model, optimizer, Balancer(2)), "digest") == 0
    assert torch.equal(model.weight, before)


def test_checkpoints_of_another_spec_do_not_push_out_those_of_a_new_training(tmp_path: Path) -> None:
    save_steps(tmp_path, "other", "other", "other")
    model, optimizer, saved = save_steps(tmp_path, "digest")

    restored, restored_optimizer = make(seed=2)
    done = load_checkpoint(tmp_path, TrainingState(restored, restored_optimizer, Balancer(2)), "digest")

    assert done == 1
    assert torch.equal(restored.weight, saved[0])
    assert load_checkpoint(tmp_path, TrainingState(model, optimizer, Balancer(2)), "other") == 3


def test_a_step_that_another_spec_has_saved_too_replaces_nothing(tmp_path: Path) -> None:
    save_steps(tmp_path, "other")
    model, optimizer, _ = save_steps(tmp_path, "digest")

    for digest in ("other", "digest"):
        assert load_checkpoint(tmp_path, TrainingState(model, optimizer, Balancer(2)), digest) == 1
