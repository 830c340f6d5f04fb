"""The shared representation: the last tensor that all tasks' losses flow through.

Balancing by the gradients of this one tensor, in the place of all shared parameters, costs T backward passes
through what comes after it only. For a shared bottom it is the bottom's output, for MMoE the outputs of all
experts (a gate belongs to its task, though the loss reaches embeddings through it too). Any other way of
sharing has its input, the embeddings and numbers of the batch, which is always one tensor; then the T passes
lead through the whole sharing module.
"""

from typing import Any

import torch
from torch import Tensor, nn

from mtl_model.model import JointModel

LAST_SHARED_LAYERS = {  # inside the sharing module of that name
    "shared_bottom": "bottom",
    "task_relationship": "bottom",
    "omoe": "experts",
    "mmoe": "experts",
}


class SharedRepresentation:
    """Keeps the representation of the model's last forward pass with gradients."""

    def __init__(self, model: JointModel, sharing_name: str) -> None:
        self.tensor: Tensor | None = None
        if layer := LAST_SHARED_LAYERS.get(sharing_name):
            model.sharing.get_submodule(layer).register_forward_hook(self._keep_output)
        else:
            model.sharing.register_forward_pre_hook(self._keep_input)

    def take(self) -> Tensor:
        """The kept tensor, with the batch in any of its dimensions; it is forgotten here."""
        if self.tensor is None:
            raise ValueError("no forward pass with gradients since the last backward pass")
        tensor, self.tensor = self.tensor, None
        return tensor

    def _keep_output(self, layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self._keep(output)

    def _keep_input(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._keep(inputs[0])

    def _keep(self, tensor: Tensor) -> None:
        if torch.is_grad_enabled():
            self.tensor = tensor.requires_grad_()  # numbers alone, without an embedding, do not require it
