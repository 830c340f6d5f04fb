"""Do tasks pull the shared representation the same way? Cosines of their gradients, on rows of the training.

The gradients of several batches stand below each other as if they were one: G = sum over batches of J J^T;
the cosine of tasks s and t is G_st / sqrt(G_ss G_tt). Below 0, a step for one is a step against the other.

Shapes: T = tasks.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from mtl_model.balancing.shared_representation import SharedRepresentation
from mtl_model.balancing.task_balancing import inner_products
from mtl_model.config import ModelConfig
from mtl_model.data.encode import Batch, Encoder
from mtl_model.model import JointModel
from mtl_model.training.losses import count_divisors, joint_loss


def gradient_cosines(
    model: JointModel, config: ModelConfig, encoder: Encoder, batches: Iterable[Batch]
) -> npt.NDArray[np.float64]:
    """Maps batches to (T, T), nan for a task without a labelled row."""
    representation = SharedRepresentation(model, config.sharing.name)
    gram = torch.zeros(len(config.tasks), len(config.tasks), dtype=torch.float64)
    for step, batch in enumerate(batches):
        divisors = count_divisors(batch.masks.sum(dim=0), world_size=1)
        logits = model(batch.ids, batch.numbers)
        loss = joint_loss(model, config.tasks, encoder.label_slices, logits, batch, divisors, step)
        shared = representation.take()
        gradients = [
            torch.autograd.grad(task_loss, shared, retain_graph=True)[0].flatten()
            for task_loss in loss.task_losses
        ]
        gram += inner_products(gradients)
    lengths = gram.diag().sqrt()
    cosines = (gram / torch.outer(lengths, lengths)).numpy()
    return np.asarray(np.clip(cosines, -1.0, 1.0))
