"""Pulls source and target rows together in the shared representation, by MMD or CORAL.

The distance is one of the global batch. Each rank gathers the rows of all ranks, takes the same ones in the
same order, and differentiates by its own; DDP's mean over ranks is then the gradient of the distance divided
by the number of ranks, which the loss is multiplied by.

Shapes: B = rows of this rank, D = dim of the representation of a row.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mtl_model.balancing.shared_representation import SharedRepresentation
from mtl_model.data.encode import Batch
from mtl_model.data.masking import draw_uniform
from mtl_model.model import JointModel
from mtl_model.training.process_group import ProcessGroup
from mtl_model.transfer.config import AlignmentConfig
from mtl_model.transfer.coral import coral
from mtl_model.transfer.mmd import mmd

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mmd": mmd, "coral": coral}
MIN_ROWS = 2  # of either domain


class Alignment:
    """The loss to add; it watches the model's forward passes."""

    def __init__(
        self, model: JointModel, sharing_name: str, config: AlignmentConfig, group: ProcessGroup
    ) -> None:
        self.representation = SharedRepresentation(model, sharing_name)
        self.config, self.group = config, group

    def loss(self, batch: Batch) -> Tensor:
        """The weighted distance in the last forward pass; 0 without two rows of either domain."""
        tensor = self.representation.take()
        own = tensor.movedim(-2, 0).flatten(start_dim=1)  # (B, D): the batch is the last dimension but one
        rows = self._gather_with_gradient(own)
        example_ids, target_flags = self.group.gather_rows(batch.example_ids, batch.is_target.to(torch.uint8))
        is_target = target_flags.bool()
        draws = draw_uniform(example_ids.cpu().numpy(), num_places=1, seed=0)[:, 0]
        order = torch.from_numpy(draws).argsort(stable=True).to(rows.device)
        rows, is_target = rows[order], is_target[order]
        domains = [rows[is_of_domain][: self.config.max_rows] for is_of_domain in (~is_target, is_target)]
        if min(map(len, domains)) < MIN_ROWS:
            return tensor.sum() * 0.0
        distance = DISTANCES[self.config.name](*domains)
        return self.config.weight * self.group.world_size * distance

    def _gather_with_gradient(self, own: Tensor) -> Tensor:
        """The rows of all ranks, (global batch, D); a gradient flows to this rank's."""
        if self.group.world_size == 1:
            return own
        own_rank = torch.full((len(own),), self.group.rank, device=own.device)
        rows, ranks = self.group.gather_rows(own.detach(), own_rank)
        first = int((ranks < self.group.rank).sum())
        return torch.cat([rows[:first], own, rows[first + len(own) :]])
