from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.mtl_model.sharing.build_sharing import TASKS, build_sharing, make_inputs, plain_mlp


def run_expert(level: Any, expert: int, inputs: Tensor) -> Tensor:
    down = level.feature_down(inputs).chunk(level.num_experts, dim=1)[expert]
    hidden = inputs * 2 * torch.sigmoid(down @ level.feature_up[expert])
    for layer in plain_mlp(level.experts, expert).layers:
        if isinstance(layer, torch.nn.Linear):
            hidden = F.silu(F.layer_norm(layer(hidden), (layer.out_features,)))
    return hidden


def mix(
    level: Any, mixture: int, inputs: Tensor, outputs: list[Tensor], read: list[int], own: list[int]
) -> Tensor:
    """`outputs` of all experts; `read` and `own` are positions among them."""
    gate = level.gates(inputs).chunk(level.num_mixtures, dim=1)[mixture][:, read].softmax(dim=1)
    mixed = torch.stack([gate[:, [column]] * outputs[expert] for column, expert in enumerate(read)]).sum(
        dim=0
    )
    logits = level.self_gates(inputs).chunk(level.num_mixtures, dim=1)[mixture][:, own]
    self_gate = logits.sigmoid() if len(own) == 1 else logits.softmax(dim=1)
    return mixed + torch.stack(
        [self_gate[:, [column]] * outputs[expert] for column, expert in enumerate(own)]
    ).sum(dim=0)


def test_groups_then_tasks_mix_what_the_hierarchy_lets_them_read() -> None:
    """Groups: browsing (click, cart) and paying (buy), an expert each; two shared ones; two per task."""
    home = build_sharing("home")
    inputs = make_inputs("home", 5)

    hidden = home(inputs)

    first, second = home.groups, home.second
    outputs = [run_expert(first, expert, inputs) for expert in range(4)]
    browsing = mix(first, 0, inputs, outputs, read=[0, 2, 3], own=[0])
    paying = mix(first, 1, inputs, outputs, read=[1, 2, 3], own=[1])
    shared = mix(first, 2, inputs, outputs, read=[0, 1, 2, 3], own=[2, 3])
    readers = [browsing] * 4 + [paying] * 2 + [browsing, paying, shared, shared]
    outputs = [run_expert(second, expert, rows) for expert, rows in enumerate(readers)]
    expected = [
        mix(second, 0, browsing, outputs, read=[0, 1, 6, 8, 9], own=[0, 1]),
        mix(second, 1, browsing, outputs, read=[2, 3, 6, 8, 9], own=[2, 3]),
        mix(second, 2, paying, outputs, read=[4, 5, 7, 8, 9], own=[4, 5]),
    ]
    for task, rows in zip(TASKS, expected, strict=True):
        torch.testing.assert_close(hidden[task], rows)
