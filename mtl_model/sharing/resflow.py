"""ResFlow: residual connections between tasks (Fu et al., 2024, arxiv.org/abs/2411.09705).

With s the task that t depends on, at every layer l and for the logits o:

    h_t^l = f_t^l(h_t^(l-1)) + h_s^l,    o_t = w_t h_t^L + o_s

The logits are of events of all rows: a purchase differs from the click before by what is learned on top.

Shapes: B = batch, I = input dim, H = a layer's output dim, T = tasks.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mtl_model.layers.parallel_mlps import ParallelMLPs
from mtl_model.sharing.sharing import Sharing


class ResFlow(Sharing):
    """One bottom per task; each layer and logit adds to that of the parent."""

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        tasks: Sequence[str],
        parents: Mapping[str, str],
        dropout: float,
    ) -> None:
        super().__init__()
        dims = [input_dim, *hidden_dims]
        self.layers = nn.ModuleList(
            ParallelMLPs(inputs, len(tasks), [outputs], dropout)
            for inputs, outputs in zip(dims, hidden_dims, strict=False)
        )
        self.output_dim = hidden_dims[-1]
        self.tasks, self.parents = tuple(tasks), dict(parents)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to one hidden (B, H) per task."""
        hidden: dict[str, Tensor] = {}
        for layer in self.layers:
            outputs = layer(torch.stack(list(hidden.values())) if hidden else inputs)
            hidden = self._add_parents(dict(zip(self.tasks, outputs.unbind(), strict=True)))
        return hidden

    def join_logits(self, hidden: Mapping[str, Tensor], logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self._add_parents(logits)

    def _add_parents(self, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        added = dict(rows)
        for task, parent in self.parents.items():  # a parent's own parent comes before
            added[task] = added[task] + added[parent]
        return added
