"""Keeps parts of a model as they are: all through the training, or until the others have caught up.

A frozen parameter's gradient is computed and dropped. So DDP has one for every parameter, and nothing has to
be built anew when the parameters thaw.
"""

from torch import nn

from mtl_model.transfer.config import FreezeConfig


class Freezing:
    """The frozen parts, up to and with step `last_step`; None: for good."""

    def __init__(self, model: nn.Module, config: FreezeConfig, last_step: int | None) -> None:
        self.last_step = last_step
        self.parts = [part for name, part in model.named_children() if name in config.parts]

    def drop_gradients(self, step: int) -> None:
        """Between backward pass and optimizer, which leaves parameters without a gradient alone."""
        if self.last_step is None or step <= self.last_step:
            for part in self.parts:
                for parameter in part.parameters():
                    parameter.grad = None
