"""What the joint model asks of every way of sharing.

Shapes: B = batch, I = input dim, H = output dim.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn


class Sharing(nn.Module):
    """Maps inputs to hidden rows per task; a way of sharing that does more overrides the other methods.

    `task_free` names the parts whose weights are laid out without regard to the tasks and their order.
    """

    task_free: ClassVar[tuple[str, ...]] = ()
    output_dim: int

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to one hidden (B, H) per task."""
        raise NotImplementedError

    def join_logits(self, hidden: Mapping[str, Tensor], logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tasks' logits from those of their heads, for ways of sharing that join tasks there too.

        May add what `extra_row_losses` needs, under a name with a dot, which no task has.
        """
        return dict(logits)

    def extra_row_losses(
        self, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Losses (B,) to add to those of some tasks' rows, before the task's mask and mean.

        `labels` (B, label columns) and `masks` (B,) are per task.
        """
        return {}

    def penalty(self, head_weights: Sequence[Tensor]) -> Tensor | float:
        """A loss of the weights alone, equal on every rank; `head_weights`: (logits, H) of each head."""
        return 0.0
