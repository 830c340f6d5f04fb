"""Hard parameter sharing (Caruana, 1997, doi.org/10.1023/A:1007379606734).

Shapes: B = batch, I = input dim, H = output dim.
"""

from collections.abc import Sequence

from torch import Tensor

from mtl_model.layers.mlp import MLP
from mtl_model.sharing.sharing import Sharing


class SharedBottom(Sharing):
    """One MLP that all tasks share."""

    task_free = ("bottom",)

    def __init__(
        self, input_dim: int, hidden_dims: Sequence[int], tasks: Sequence[str], dropout: float
    ) -> None:
        super().__init__()
        self.bottom = MLP(input_dim, hidden_dims, dropout)
        self.output_dim = self.bottom.output_dim
        self.tasks = tuple(tasks)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to the same hidden (B, H) for every task."""
        hidden = self.bottom(inputs)
        return dict.fromkeys(self.tasks, hidden)
