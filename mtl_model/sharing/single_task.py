"""No sharing: the single-task twins, each with embeddings, bottom, tower and head of its own.

Trained side by side, a task's weights become what they would be if it were the only one in the config, but
for the random numbers that they start from and for `clip_norm`, which looks at all gradients together.

Shapes: B = batch, I = input dim, H = output dim, T = tasks.
"""

from collections.abc import Sequence

from torch import Tensor

from mtl_model.layers.parallel_mlps import ParallelMLPs
from mtl_model.sharing.sharing import Sharing


class SingleTask(Sharing):
    """One bottom per task, each on its own inputs."""

    def __init__(
        self, input_dim: int, hidden_dims: Sequence[int], tasks: Sequence[str], dropout: float
    ) -> None:
        super().__init__()
        self.bottoms = ParallelMLPs(input_dim, len(tasks), hidden_dims, dropout)
        self.output_dim = self.bottoms.output_dim
        self.tasks = tuple(tasks)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (T, B, I), or (B, I) where there is nothing embedded, to one hidden (B, H) per task."""
        return dict(zip(self.tasks, self.bottoms(inputs).unbind(), strict=True))
