"""Soft sharing: bottoms of one shape, tied to their mean.

Evgeniou and Pontil, KDD 2004, doi.org/10.1145/1014052.1014067; in deep networks Duong et al., ACL 2015,
aclanthology.org/P15-2139.

penalty = tie_weight * sum_t ||theta_t - mean_s theta_s||^2

Shapes: B = batch, I = input dim, H = output dim, T = tasks.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_model.layers.parallel_mlps import ParallelMLPs
from mtl_model.sharing.sharing import Sharing


class L2Tied(Sharing):
    """One bottom per task over common embeddings."""

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        tie_weight: float,
        tasks: Sequence[str],
        dropout: float,
    ) -> None:
        super().__init__()
        self.bottoms = ParallelMLPs(input_dim, len(tasks), hidden_dims, dropout)
        self.output_dim = self.bottoms.output_dim
        self.tie_weight = tie_weight
        self.tasks = tuple(tasks)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to one hidden (B, H) per task."""
        return dict(zip(self.tasks, self.bottoms(inputs).unbind(), strict=True))

    def penalty(self, head_weights: Sequence[Tensor]) -> Tensor:
        per_task = [weight.view(len(self.tasks), -1) for weight in self.bottoms.parameters()]
        distances = [(weights - weights.mean(dim=0)).square().sum() for weights in per_task]
        return self.tie_weight * torch.stack(distances).sum()
