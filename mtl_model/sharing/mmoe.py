"""Multi-gate Mixture-of-Experts (Ma et al., KDD 2018, doi.org/10.1145/3219819.3220007).

Shapes: B = batch, I = input dim, E = experts, H = a layer's output dim, T = tasks.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Experts(nn.Module):
    """E MLPs of one shape, side by side: their first layers are one wide product, the others batched ones.

    Each weight is drawn on its own, so that the experts differ from the start.
    """

    def __init__(self, input_dim: int, num_experts: int, hidden_dims: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.num_experts, self.dropout = num_experts, dropout
        self.output_dim = hidden_dims[-1]
        self.first = nn.Linear(input_dim, num_experts * hidden_dims[0])
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for inputs, outputs in pairwise(hidden_dims):
            bound = 1 / math.sqrt(inputs)  # as nn.Linear does
            self.weights.append(
                nn.Parameter(torch.empty(num_experts, inputs, outputs).uniform_(-bound, bound))
            )
            self.biases.append(nn.Parameter(torch.empty(num_experts, 1, outputs).uniform_(-bound, bound)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps inputs (B, I) to expert outputs (E, B, H)."""
        hidden = self.first(inputs).unflatten(1, (self.num_experts, -1))  # (B, E, H)
        hidden = self._activate(hidden).transpose(0, 1)  # (E, B, H), a view
        for weight, bias in zip(self.weights, self.biases, strict=True):
            hidden = self._activate(torch.baddbmm(bias, hidden, weight))
        return hidden

    def _activate(self, hidden: Tensor) -> Tensor:
        hidden = F.layer_norm(F.relu(hidden), hidden.shape[-1:])
        return F.dropout(hidden, self.dropout, self.training) if self.dropout else hidden


class MMoE(nn.Module):
    """Experts shared by all tasks, mixed by one softmax gate per task."""

    def __init__(
        self,
        input_dim: int,
        num_experts: int,
        expert_hidden_dims: Sequence[int],
        tasks: Sequence[str],
        dropout: float,
    ) -> None:
        super().__init__()
        self.experts = Experts(input_dim, num_experts, expert_hidden_dims, dropout)
        self.gates = nn.Linear(input_dim, len(tasks) * num_experts)
        self.output_dim = self.experts.output_dim
        self.tasks = tuple(tasks)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to one mixture of expert outputs (B, H) per task."""
        expert_outputs = self.experts(inputs)  # (E, B, H)
        gates = self.gates(inputs).unflatten(1, (len(self.tasks), -1)).softmax(dim=-1)  # (B, T, E)
        mixtures = torch.einsum("bte,ebh->tbh", gates, expert_outputs)
        return dict(zip(self.tasks, mixtures.unbind(), strict=True))
