"""Rules that hold for every sharing architecture, and MMoE's formula."""

import pytest
import torch

from mtl_model.layers.mlp import MLP
from mtl_model.sharing.mmoe import MMoE
from mtl_model.sharing.shared_bottom import SharedBottom

TASKS = ("click", "buy")


@pytest.fixture(params=["shared_bottom", "mmoe"])
def sharing(request: pytest.FixtureRequest) -> SharedBottom | MMoE:
    torch.manual_seed(0)
    if request.param == "mmoe":
        return MMoE(6, num_experts=3, expert_hidden_dims=[8, 5, 4], tasks=TASKS, dropout=0.0)
    return SharedBottom(6, hidden_dims=[8, 4], tasks=TASKS, dropout=0.0)


@pytest.mark.parametrize("batch_size", [0, 1, 7])
def test_every_task_gets_a_hidden_row_per_row(sharing: SharedBottom | MMoE, batch_size: int) -> None:
    hidden = sharing(torch.randn(batch_size, 6))

    assert {task: tuple(rows.shape) for task, rows in hidden.items()} == dict.fromkeys(TASKS, (batch_size, 4))
    assert sharing.output_dim == 4


def test_the_gradient_of_each_task_reaches_every_shared_weight(sharing: SharedBottom | MMoE) -> None:
    for position, task in enumerate(TASKS):
        sharing.zero_grad()
        hidden = sharing(torch.randn(32, 6))[task]

        torch.autograd.backward((hidden * torch.randn_like(hidden)).sum())

        for name, weight in sharing.named_parameters():
            assert weight.grad is not None, name
            rows = slice(position * 3, position * 3 + 3) if name.startswith("gates") else slice(None)
            assert weight.grad[rows].abs().sum() > 1e-3, name


def test_mmoe_mixes_separate_experts_by_each_tasks_gate() -> None:
    torch.manual_seed(0)
    mmoe = MMoE(6, num_experts=2, expert_hidden_dims=[5, 3], tasks=TASKS, dropout=0.0)
    inputs = torch.randn(4, 6)

    outputs = []
    for expert in range(2):  # the same weights in plain MLPs
        mlp = MLP(6, [5, 3], dropout=0.0)
        first, second = mlp.layers[0], mlp.layers[3]
        rows = slice(expert * 5, expert * 5 + 5)
        first.weight.data, first.bias.data = mmoe.experts.first.weight[rows], mmoe.experts.first.bias[rows]
        second.weight.data = mmoe.experts.weights[0][expert].T
        second.bias.data = mmoe.experts.biases[0][expert, 0]
        outputs.append(mlp(inputs))

    hidden = mmoe(inputs)
    for position, task in enumerate(TASKS):
        rows = slice(position * 2, position * 2 + 2)
        gate = torch.softmax(inputs @ mmoe.gates.weight[rows].T + mmoe.gates.bias[rows], dim=1)
        torch.testing.assert_close(hidden[task], gate[:, :1] * outputs[0] + gate[:, 1:] * outputs[1])


def test_experts_and_gates_differ_from_the_start() -> None:
    mmoe = MMoE(6, num_experts=3, expert_hidden_dims=[8, 4], tasks=TASKS, dropout=0.0)

    outputs = mmoe.experts(torch.randn(5, 6))
    hidden = mmoe(torch.randn(5, 6))

    assert all(not torch.allclose(outputs[0], outputs[other]) for other in (1, 2))
    assert not torch.allclose(hidden["click"], hidden["buy"])
