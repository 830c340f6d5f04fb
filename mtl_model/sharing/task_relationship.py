"""Multi-task relationship learning (Zhang and Yeung, UAI 2010, arxiv.org/abs/1203.3536).

The covariance of the tasks' last weights is learned along with them:

penalty = relationship_weight * tr(W Omega^-1 W^T), Omega positive semi-definite with trace 1

W (H, K) has the heads' weights as columns, one per logit. For given W the best Omega is
(W^T W)^(1/2) / tr((W^T W)^(1/2)); it is put in at every step, as a constant. The heads follow the shared
bottom directly: weights can only be compared on common inputs.

Shapes: H = output dim, K = logits of all tasks.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_model.sharing.shared_bottom import SharedBottom

RIDGE = 1e-6  # keeps Omega invertible


class TaskRelationship(SharedBottom):
    """A shared bottom with heads that learn from each other as far as they are related."""

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        relationship_weight: float,
        tasks: Sequence[str],
        dropout: float,
    ) -> None:
        super().__init__(input_dim, hidden_dims, tasks, dropout)
        self.relationship_weight = relationship_weight

    def penalty(self, head_weights: Sequence[Tensor]) -> Tensor:
        weights = torch.cat(list(head_weights)).float()  # (K, H), W transposed
        values, vectors = _gram_spectrum(weights)
        precision = values.sum() * (vectors / values) @ vectors.T  # Omega^-1
        return self.relationship_weight * (weights * (precision @ weights)).sum()


def task_covariance(head_weights: Sequence[Tensor]) -> Tensor:
    """Omega (K, K): how the logits of all tasks are related."""
    values, vectors = _gram_spectrum(torch.cat(list(head_weights)).float())
    return (vectors * values) @ vectors.T / values.sum()


def _gram_spectrum(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (K,) and vectors (K, K) of (W^T W)^(1/2), without a gradient."""
    weights = weights.detach()
    ridge = RIDGE * torch.eye(len(weights), device=weights.device)
    values, vectors = torch.linalg.eigh(weights @ weights.T + ridge)
    return values.clamp(min=RIDGE).sqrt(), vectors
