"""Progressive Layered Extraction (Tang et al., RecSys 2020, doi.org/10.1145/3383313.3412236).

A task's gate mixes its own experts and the shared ones, the shared gate mixes all experts; the mixtures are
the next level's inputs. Nothing reads a shared mixture of the last level, which therefore has no shared gate.
One level is CGC.

Shapes: B = batch, I = a level's input dim, H = expert output dim, T = tasks, E = experts of all groups,
S = shared experts, G = experts that a task's gate mixes: its own and the shared ones.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_model.layers.parallel_mlps import ParallelMLPs, parallel_linear
from mtl_model.sharing.sharing import Sharing


class PLE(Sharing):
    """Levels of experts, some of each task and some shared."""

    def __init__(
        self,
        input_dim: int,
        num_levels: int,
        num_shared_experts: int,
        num_task_experts: int,
        expert_hidden_dims: Sequence[int],
        tasks: Sequence[str],
        dropout: float,
    ) -> None:
        super().__init__()
        self.output_dim = expert_hidden_dims[-1]
        self.levels = nn.Sequential()
        for level in range(num_levels):
            experts = ParallelMLPs(
                self.output_dim if level else input_dim,
                len(tasks) * num_task_experts + num_shared_experts,
                expert_hidden_dims,
                dropout,
            )
            self.levels.append(
                Level(experts, len(tasks), num_task_experts, has_shared_gate=level + 1 < num_levels)
            )
        self.tasks = tuple(tasks)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to one hidden (B, H) per task."""
        return dict(zip(self.tasks, self.levels(inputs).unbind(), strict=True))


class Level(nn.Module):
    """`experts`: those of the first task, of the second, ..., then the shared ones."""

    def __init__(
        self, experts: ParallelMLPs, num_tasks: int, num_task_experts: int, has_shared_gate: bool
    ) -> None:
        super().__init__()
        self.experts, self.num_tasks, self.num_task_experts = experts, num_tasks, num_task_experts
        input_dim, num_experts = experts.first.in_features, experts.num_mlps
        self.num_shared_experts = num_experts - num_tasks * num_task_experts
        self.task_gates = nn.Linear(input_dim, num_tasks * (num_task_experts + self.num_shared_experts))
        self.shared_gate = nn.Linear(input_dim, num_experts) if has_shared_gate else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps (B, I), or (T + 1, B, I) with the shared mixture last, to (T, B, H) or (T + 1, B, H)."""
        shares = [self.num_task_experts] * self.num_tasks + [self.num_shared_experts]
        outputs = self.experts(inputs, shares)  # (E, B, H)
        own, shared = outputs[: -self.num_shared_experts], outputs[-self.num_shared_experts :]
        own = torch.unflatten(own, 0, (self.num_tasks, -1))  # (T, G - S, B, H)
        gate_inputs = inputs if inputs.dim() == 2 else inputs[:-1]
        gates = parallel_linear(self.task_gates, gate_inputs, self.num_tasks).softmax(dim=-1)  # (T, B, G)
        of_own, of_shared = gates[..., : self.num_task_experts], gates[..., self.num_task_experts :]
        mixtures = torch.einsum("tbe,tebh->tbh", of_own, own)
        mixtures = mixtures + torch.einsum("tbs,sbh->tbh", of_shared, shared)
        if self.shared_gate is None:
            return mixtures
        gate = self.shared_gate(inputs if inputs.dim() == 2 else inputs[-1]).softmax(dim=-1)  # (B, E)
        return torch.cat([mixtures, torch.einsum("be,ebh->bh", gate, outputs)[None]])
