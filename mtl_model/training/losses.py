"""Masked, weighted losses of all tasks, as means over the global batch.

Shapes: B = rows of this rank, T = tasks, L = label columns.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mtl_model.config import TaskConfig
from mtl_model.data.encode import Batch
from mtl_model.model import JointModel


class JointLoss(NamedTuple):
    """`total` to differentiate; `task_sums` (T,), this rank's summed losses of labelled rows, to report."""

    total: Tensor
    task_sums: Tensor


def joint_loss(
    model: JointModel,
    tasks: tuple[TaskConfig, ...],
    label_slices: dict[str, slice],
    logits: dict[str, Tensor],
    batch: Batch,
    divisors: Tensor,
) -> JointLoss:
    """Sums the tasks' losses, each its rows' sum over `divisors` (T,), and the model's penalty.

    Every task takes part in every step, also without a labelled row: DDP needs a gradient for each parameter.
    """
    labels = {task.name: batch.labels[:, label_slices[task.name]] for task in tasks}
    masks = dict(zip(labels, batch.masks.unbind(dim=1), strict=True))
    by_task = {name: model.head(name).row_losses(logits[name], labels[name]) for name in labels}
    for name, extra in model.sharing.extra_row_losses(logits, labels, masks).items():
        by_task[name] = by_task[name] + extra
    row_losses = torch.stack(list(by_task.values()), dim=1) * batch.masks  # (B, T)
    _refuse_non_finite(row_losses, tasks, batch)
    task_sums = row_losses.sum(dim=0)
    weights = torch.tensor([task.loss_weight for task in tasks], device=task_sums.device)
    total = (weights * task_sums / divisors).sum() + model.penalty()
    return JointLoss(total, task_sums.detach())


def count_divisors(labelled_rows: Tensor, world_size: int) -> Tensor:
    """What a rank divides its sums (T,) by: as DDP averages over ranks, the result is the global mean."""
    return labelled_rows.clamp(min=1.0) / world_size


def _refuse_non_finite(row_losses: Tensor, tasks: tuple[TaskConfig, ...], batch: Batch) -> None:
    if torch.isfinite(row_losses.detach().sum()):
        return
    for position, task in enumerate(tasks):
        bad_rows = ~torch.isfinite(row_losses[:, position])
        if bad_rows.any():
            examples = batch.example_ids[bad_rows][:5].tolist()
            raise ValueError(
                f"the loss of task {task.name} is not finite in {int(bad_rows.sum())} of {batch.num_rows} "
                f"rows, among them example_id {examples}: look at their label {task.label}, or lower the "
                "learning rate"
            )
