"""A sequence as it bears on a target: Deep Interest Network (Zhou et al., 2018, arxiv.org/abs/1706.06978).

s = sum_l a(e_l, t) e_l,    a = MLP(e_l, t, e_l - t, e_l * t), not normalised: many like items weigh more

Shapes: B = batch, L = sequence length, D = embedding dim.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_model.layers.mlp import MLP


class DIN(nn.Module):
    def __init__(self, embedding_dim: int, hidden_dims: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.attention = MLP(4 * embedding_dim, hidden_dims, dropout)
        self.weight = nn.Linear(self.attention.output_dim, 1)
        self.output_dim = embedding_dim

    def forward(self, sequences: Tensor, masks: Tensor, targets: Tensor) -> Tensor:
        """Maps sequences (B, L, D), masks (B, L), 0 where padded, and targets (B, D) to (B, D).

        0 for an empty sequence.
        """
        padded = (masks == 0)[:, :, None]  # (B, L, 1)
        items = sequences.masked_fill(padded, 0.0)
        targets = targets[:, None].expand_as(items)
        pairs = torch.cat([items, targets, items - targets, items * targets], dim=2)  # (B, L, 4 D)
        weights: Tensor = self.weight(self.attention(pairs))  # (B, L, 1)
        return (weights * items).sum(dim=1)
