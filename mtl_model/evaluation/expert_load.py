"""How much of each expert each gate takes: the mean gate weight over rows, where the sharing has gates.

A gate that takes one expert only, or an expert that no gate takes, has collapsed.

Shapes: B = batch, T = tasks, E = experts, M = mixtures.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl_model.data.encode import Batch
from mtl_model.layers.parallel_mlps import parallel_linear
from mtl_model.model import JointModel
from mtl_model.sharing import home, ple
from mtl_model.sharing.home import HoME
from mtl_model.sharing.mmoe import MMoE
from mtl_model.sharing.omoe import OMoE
from mtl_model.sharing.ple import PLE
from mtl_model.sharing.stem import STEM

Inputs = tuple[Any, ...]
Gate = Callable[[Any, Inputs], Tensor]  # a module and what it was called with -> gate weights (M, B, E)


def expert_loads(model: JointModel, batches: Iterable[Batch]) -> dict[str, list[float]]:
    """Gate -> the mean weight of each expert that it mixes; empty without gates."""
    sums: dict[str, Tensor] = {}
    num_rows = 0

    def add(names: Sequence[str], gate: Gate) -> Callable[[nn.Module, Inputs], None]:
        def hook(module: nn.Module, inputs: Inputs) -> None:
            for name, weights in zip(names, gate(module, inputs).sum(dim=1), strict=True):
                sums[name] = sums.get(name, 0) + weights.double()

        return hook

    hooks = [
        module.register_forward_pre_hook(add(names, gate)) for module, names, gate in _gates(model.sharing)
    ]
    model.eval()
    with torch.inference_mode():
        for batch in batches if hooks else ():
            model(batch.ids, batch.numbers)
            num_rows += batch.num_rows
    for handle in hooks:
        handle.remove()
    return {name: (total / num_rows).tolist() for name, total in sums.items()}


def _gates(sharing: nn.Module) -> list[tuple[nn.Module, list[str], Gate]]:
    """(module to watch, the names of its gates, their weights)."""
    if isinstance(sharing, OMoE):
        return [(sharing, ["all tasks"], _omoe)]
    if isinstance(sharing, MMoE | STEM):
        return [(sharing, list(sharing.tasks), _mmoe if isinstance(sharing, MMoE) else _stem)]
    if isinstance(sharing, PLE):
        return [
            (level, [f"{task}, level {row}" for task in sharing.tasks], _ple)
            for row, level in enumerate(sharing.levels, start=1)
        ]
    if isinstance(sharing, HoME):
        groups = [f"group {row}" for row in range(1, sharing.groups.num_mixtures)]
        return [
            (sharing.groups, [*groups, "shared"], _home),
            (sharing.second, list(sharing.tasks), _home),
        ]
    return []


def _omoe(sharing: OMoE, inputs: Inputs) -> Tensor:
    return torch.softmax(sharing.gate(inputs[0]), dim=-1)[None]


def _mmoe(sharing: MMoE, inputs: Inputs) -> Tensor:
    return parallel_linear(sharing.gates, inputs[0], len(sharing.tasks)).softmax(dim=-1)


def _stem(sharing: STEM, inputs: Inputs) -> Tensor:
    own, shared = inputs[0][:-1], inputs[0][-1:]
    return parallel_linear(sharing.gates, own + shared, len(sharing.tasks)).softmax(dim=-1)


def _ple(level: ple.Level, inputs: Inputs) -> Tensor:
    """Of the tasks' gates: own experts first, then the shared ones."""
    gate_inputs = inputs[0] if inputs[0].dim() == 2 else inputs[0][:-1]
    return parallel_linear(level.task_gates, gate_inputs, level.num_tasks).softmax(dim=-1)


def _home(level: home.Level, inputs: Inputs) -> Tensor:
    """Of the mixtures, without their self-gates."""
    gates = parallel_linear(level.gates, inputs[1], level.num_mixtures)
    return gates.masked_fill(~level.is_read, -torch.inf).softmax(dim=-1)
