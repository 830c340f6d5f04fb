"""Multi-gate Mixture-of-Experts (Ma et al., KDD 2018, doi.org/10.1145/3219819.3220007).

h_t = sum_e softmax(W_t x)_e E_e(x)

Shapes: B = batch, I = input dim, E = experts, H = expert output dim, T = tasks.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_model.layers.parallel_mlps import ParallelMLPs
from mtl_model.sharing.sharing import Sharing


class MMoE(Sharing):
    """Experts shared by all tasks, mixed by one softmax gate per task."""

    task_free = ("experts",)

    def __init__(
        self,
        input_dim: int,
        num_experts: int,
        expert_hidden_dims: Sequence[int],
        tasks: Sequence[str],
        dropout: float,
    ) -> None:
        super().__init__()
        self.experts = ParallelMLPs(input_dim, num_experts, expert_hidden_dims, dropout)
        self.gates = nn.Linear(input_dim, len(tasks) * num_experts)
        self.output_dim = self.experts.output_dim
        self.tasks = tuple(tasks)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to one mixture of expert outputs (B, H) per task."""
        expert_outputs = self.experts(inputs)  # (E, B, H)
        gates = self.gates(inputs).unflatten(1, (len(self.tasks), -1)).softmax(dim=-1)  # (B, T, E)
        mixtures = torch.einsum("bte,ebh->tbh", gates, expert_outputs)
        return dict(zip(self.tasks, mixtures.unbind(), strict=True))
