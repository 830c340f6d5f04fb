from typing import Any

import torch
from torch import Tensor

from tests.mtl_model.sharing.build_sharing import TASKS, build_sharing, make_inputs, plain_mlp


def mix(experts: list[Tensor], gate_logits: Tensor) -> Tensor:
    shares = gate_logits.softmax(dim=1)
    return torch.stack([shares[:, [index]] * expert for index, expert in enumerate(experts)]).sum(dim=0)


def run_level(level: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """A level of two experts per task and two shared ones, by the paper's formula, expert by expert."""
    readers = [*(task for task in TASKS for _ in range(2)), "shared", "shared"]
    experts = [plain_mlp(level.experts, index)(inputs[reader]) for index, reader in enumerate(readers)]
    outputs = {}
    for position, task in enumerate(TASKS):
        rows = slice(position * 4, position * 4 + 4)
        logits = inputs[task] @ level.task_gates.weight[rows].T + level.task_gates.bias[rows]
        outputs[task] = mix([*experts[position * 2 : position * 2 + 2], *experts[-2:]], logits)
    if level.shared_gate is not None:
        outputs["shared"] = mix(experts, level.shared_gate(inputs["shared"]))
    return outputs


def test_levels_extract_as_in_the_paper() -> None:
    ple = build_sharing("ple", num_levels=3)
    inputs = make_inputs("ple", 5)

    hidden = ple(inputs)

    expected = dict.fromkeys([*TASKS, "shared"], inputs)
    for level in ple.levels:
        expected = run_level(level, expected)
    for task in TASKS:
        torch.testing.assert_close(hidden[task], expected[task])


def test_the_last_level_has_no_shared_gate() -> None:
    ple = build_sharing("ple", num_levels=3)

    assert [level.shared_gate is not None for level in ple.levels] == [True, True, False]
