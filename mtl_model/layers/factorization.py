"""Two sides, such as a user's fields and an item's, each the sum of its fields' factors, multiplied.

    u = sum_f v_f over one side,  i = sum_g v_g over the other,   z = (u * i, b_u + b_i)

Matrix factorisation with attributes (SVDFeature, Chen et al., JMLR 2012, jmlr.org/papers/v13/chen12a.html).
z feeds the heads of all tasks: each learns its own weights of the products, and at the start has one bias of
each field to itself.

Shapes: B = batch, D = factors, T = tasks, C = copies.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mtl_model.layers.embedding import FusedEmbedding


class FactorSlot(NamedTuple):
    """A field: `slot` has its factors, D + T wide; `columns` of the ids hold its id, or its list of ids."""

    slot: int
    columns: slice


class Factorization(nn.Module):
    def __init__(self, sides: Sequence[Sequence[FactorSlot]], num_factors: int, num_tasks: int) -> None:
        super().__init__()
        self.sides = [list(side) for side in sides]
        self.num_factors, self.output_dim = num_factors, num_factors + num_tasks

    def forward(self, ids: Tensor, embedding: FusedEmbedding) -> tuple[Tensor, Tensor]:
        """Maps the ids of all fields to z (B, D + T) and the squares (B,) of all factors of a row summed.

        (C, B, D + T) and (C, B) where ids have copies.
        """
        fields = [[self._embed(field, ids, embedding) for field in side] for side in self.sides]
        squares = torch.stack([factors.square().sum(dim=-1) for side in fields for factors in side]).sum(
            dim=0
        )
        one, other = (torch.stack(side).sum(dim=0) for side in fields)
        products = one[..., : self.num_factors] * other[..., : self.num_factors]
        biases = one[..., self.num_factors :] + other[..., self.num_factors :]
        return torch.cat([products, biases], dim=-1), squares

    def init_head(self, weight: Tensor, task: int, scale: float) -> None:
        """Lets a head (logits, H + D + T) begin with `scale` times the products and its task's biases."""
        own = torch.zeros(self.output_dim)
        own[: self.num_factors] = scale
        own[self.num_factors + task] = scale
        with torch.no_grad():
            weight[:, -self.output_dim :] = own

    def _embed(self, field: FactorSlot, ids: Tensor, embedding: FusedEmbedding) -> Tensor:
        """The field's factors, (B, D + T) or (C, B, D + T): the mean of a list's."""
        items = ids[:, field.columns]
        if items.shape[1] == 1:
            return embedding.embed_list(field.slot, items).squeeze(dim=-2)
        lengths = (items > 0).sum(dim=1, keepdim=True).clamp(min=1)
        return embedding.sum_list(field.slot, items) / lengths
