"""Entire Space Multi-task Model (Ma et al., SIGIR 2018, arxiv.org/abs/1804.07931).

A task that depends on another is modelled given that the other happened, and trained on all rows:

    P(click and purchase | shown) = P(click | shown) * P(purchase | click, shown)

The loss, the logit and the probability of `purchase` are of the left side, CTCVR; CVR is the factor on the
right. With more tasks in the chain the product goes on. A task that joins no chain stands alone.

Shapes: B = batch, I = input dim, H = output dim, T = tasks.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mtl_model.layers.parallel_mlps import ParallelMLPs
from mtl_model.sharing.sharing import Sharing


class ESMM(Sharing):
    """One bottom per task over common embeddings; probabilities are multiplied along `parents`."""

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        tasks: Sequence[str],
        parents: Mapping[str, str],
        dropout: float,
    ) -> None:
        super().__init__()
        self.bottoms = ParallelMLPs(input_dim, len(tasks), hidden_dims, dropout)
        self.output_dim = self.bottoms.output_dim
        self.tasks, self.parents = tuple(tasks), dict(parents)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to one hidden (B, H) per task."""
        return dict(zip(self.tasks, self.bottoms(inputs).unbind(), strict=True))

    def join_logits(self, hidden: Mapping[str, Tensor], logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        joined = dict(logits)
        for task, parent in self.parents.items():  # a parent's own parent comes before
            joined[task] = product_logit(joined[parent], logits[task])
        return joined


def product_logit(first: Tensor, second: Tensor) -> Tensor:
    """The logit of sigmoid(first) * sigmoid(second), by 1 / (p r) - 1 = e^-a + e^-b + e^-(a + b).

    Exact where p r would round to 0 or 1, and so is its gradient.
    """
    return -torch.logsumexp(torch.stack([-first, -second, -first - second]), dim=0)
