"""One-gate Mixture-of-Experts, MMoE's baseline (Ma et al., KDD 2018, doi.org/10.1145/3219819.3220007).

h = sum_e softmax(W x)_e E_e(x), the same for every task

Shapes: B = batch, I = input dim, E = experts, H = expert output dim.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_model.layers.parallel_mlps import ParallelMLPs
from mtl_model.sharing.sharing import Sharing


class OMoE(Sharing):
    """Experts mixed by one softmax gate for all tasks."""

    task_free = ("experts", "gate")

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
        self.gate = nn.Linear(input_dim, num_experts)
        self.output_dim = self.experts.output_dim
        self.tasks = tuple(tasks)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to the same mixture of expert outputs (B, H) for every task."""
        gate = self.gate(inputs).softmax(dim=-1)  # (B, E)
        mixture = torch.einsum("be,ebh->bh", gate, self.experts(inputs))
        return dict.fromkeys(self.tasks, mixture)
