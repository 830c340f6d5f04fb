"""Masked, weighted losses of all tasks, as means over the global batch.

Shapes: B = rows of this rank, T = tasks, L = label columns.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mtl_model.config import TaskConfig
from mtl_model.data.encode import Batch
from mtl_model.heads.zero_inflated_lognormal import ZeroInflatedLognormalHead
from mtl_model.model import Head, JointModel


class JointLoss(NamedTuple):
    """Losses of this rank's labelled rows.

    task_losses: T scalars to differentiate, `loss_weight` times sum over divisor; apart from each other, so
    that the gradient of one does not pass through the others' towers. penalty: a loss of the weights alone,
    which no task owns. task_sums: (T,), to report. least_sums: (T,), the least that any model could reach
    with these labels; below 0 where a loss is of a density.
    """

    task_losses: list[Tensor]
    penalty: Tensor | float
    task_sums: Tensor
    least_sums: Tensor


def joint_loss(
    model: JointModel,
    tasks: tuple[TaskConfig, ...],
    label_slices: dict[str, slice],
    logits: dict[str, Tensor],
    batch: Batch,
    divisors: Tensor,
    step: int,
) -> JointLoss:
    """Each task's loss, its rows' sum over `divisors` (T,), and the model's penalty.

    Every task takes part in every step, also without a labelled row: DDP needs a gradient for each parameter.
    """
    labels = {task.name: batch.labels[:, label_slices[task.name]] for task in tasks}
    masks = dict(zip(labels, batch.masks.unbind(dim=1), strict=True))
    extra = model.sharing.extra_row_losses(logits, labels, masks)
    row_losses = [
        (
            model.head(name).row_losses(logits[name], labels[name])
            + extra.get(name, 0.0)
            + logits.get(f"{name}.penalty", 0.0)
        )
        * masks[name]
        * batch.weights
        for name in labels
    ]
    _refuse_non_finite(torch.stack(row_losses, dim=1).detach(), tasks, batch, step)
    sums = [task_row_losses.sum() for task_row_losses in row_losses]
    least = [
        (_least_row_losses(model.head(name), labels[name]) * masks[name] * batch.weights).sum()
        for name in labels
    ]
    return JointLoss(
        [
            task.loss_weight * task_sum / divisor
            for task, task_sum, divisor in zip(tasks, sums, divisors.unbind(), strict=True)
        ],
        model.penalty(),
        torch.stack(sums).detach(),
        torch.stack(least),
    )


def count_divisors(labelled_rows: Tensor, world_size: int) -> Tensor:
    """What a rank divides its sums (T,) by: as DDP averages over ranks, the result is the global mean."""
    return labelled_rows.clamp(min=1.0) / world_size


def _least_row_losses(head: Head, labels: Tensor) -> Tensor:
    """The least that a row's loss can be given its labels (B, its columns), for any logits: (B,)."""
    if isinstance(head, ZeroInflatedLognormalHead):
        return head.least_row_losses(labels)
    return torch.zeros_like(labels[:, 0])


def _refuse_non_finite(row_losses: Tensor, tasks: tuple[TaskConfig, ...], batch: Batch, step: int) -> None:
    """Takes row losses (B, T)."""
    if torch.isfinite(row_losses.sum()):
        return
    for position, task in enumerate(tasks):
        bad_rows = ~torch.isfinite(row_losses[:, position])
        if bad_rows.any():
            examples = batch.example_ids[bad_rows][:5].tolist()
            raise ValueError(
                f"the loss of task {task.name} is not finite in step {step}, in {int(bad_rows.sum())} of "
                f"{batch.num_rows} rows, among them example_id {examples}: look at their label {task.label}, "
                "or lower the learning rate"
            )
