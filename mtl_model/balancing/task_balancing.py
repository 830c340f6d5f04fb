"""From the tasks' losses of one step to the gradients of all parameters, on any number of ranks.

The shared parameters, embeddings and sharing, get the gradient of sum_t a_t L_t in one backward pass, where
L_t is loss_weight times the task's mean loss over the global batch and a_t the balancer's weight. Towers and
heads get it too when losses are weighed; under gradient aggregation they get that of sum_t L_t, in which each
has its own task's loss, as in the papers. A penalty of the weights is added as it is, to both. The balancer
knows nothing of detached tasks, whose weight is 1: it is for their own towers and heads alone.

Losses are means over the global batch, so a gradient of the whole is the sum of the ranks' parts and
G = sum_r J_r J_r^T over the ranks' rows is exact: T x T numbers are reduced, whatever the batch.

Shapes: T = tasks, A = attached tasks.
"""

import numpy as np
import torch
from torch import Tensor, nn

from mtl_model.balancing.balancer import FloatMatrix, FloatVector, TaskSignals
from mtl_model.balancing.build_balancer import build_balancer
from mtl_model.balancing.shared_representation import SharedRepresentation
from mtl_model.config import ModelConfig
from mtl_model.model import JointModel
from mtl_model.training.losses import JointLoss
from mtl_model.training.process_group import ProcessGroup

MIN_LOSS = 1e-8  # for the logarithm
SLICE = 8192


class TaskBalancing:
    """The balancer of a training and what it needs of the model."""

    def __init__(self, model: JointModel, config: ModelConfig, group: ProcessGroup) -> None:
        self.model, self.group, self.tasks = model, group, config.tasks
        self.attached = [place for place, task in enumerate(config.tasks) if not task.detached]
        self.balancer = build_balancer(config.balancing, len(self.attached))
        self.representation: SharedRepresentation | None = None
        if self.balancer.reads_gradients:
            self.representation = SharedRepresentation(model, config.sharing.name)

    def wrap(self) -> nn.Module:
        """The model as the steps call it: inside DDP, but where gradients are averaged here."""
        if self.balancer.reads_gradients:
            return self.model
        sparse = [f"embedding.{name}" for name in self.model.embedding.sparse_parameters()]
        return self.group.wrap_in_ddp(self.model, ignore=sparse)

    def backward(self, loss: JointLoss, labelled_rows: Tensor, step: int) -> Tensor:
        """Sets all gradients, to be equal on all ranks, and returns the weights a (T,).

        `labelled_rows` (T,) are those of all ranks. A balancer that reads gradients needs the losses of the
        bare model: gradients are averaged here, not by DDP.
        """
        signals = self._measure(loss, labelled_rows, step)
        weights = torch.ones_like(labelled_rows)
        weights[self.attached] = torch.from_numpy(self.balancer.weigh(signals)).to(weights)
        losses = torch.stack(loss.task_losses)
        if self.balancer.weighs_towers:
            torch.autograd.backward((weights * losses).sum() + loss.penalty)
        else:
            towers, shared = self._part_parameters()
            torch.autograd.backward(losses.sum() + loss.penalty, inputs=towers, retain_graph=True)
            torch.autograd.backward((weights * losses).sum() + loss.penalty, inputs=shared)
        if self.balancer.reads_gradients:
            self.group.average_gradients(list(self.model.parameters()))
        return weights

    def _part_parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Those of towers and heads, and those shared; asked at each step, for a table may grow."""
        towers = [*self.model.towers.parameters(), *self.model.heads.parameters()]
        own = set(towers)
        return towers, [parameter for parameter in self.model.parameters() if parameter not in own]

    def observe_losses_after(self, loss: JointLoss, labelled_rows: Tensor) -> None:
        self.balancer.observe_losses_after(self._reduce_losses(loss, labelled_rows))

    def _measure(self, loss: JointLoss, labelled_rows: Tensor, step: int) -> TaskSignals:
        num_tasks, balancer = len(self.attached), self.balancer
        losses, gram = np.full(num_tasks, np.nan), np.full((num_tasks, num_tasks), np.nan)
        if balancer.reads_losses:
            losses = self._reduce_losses(loss, labelled_rows)
        if self.representation is not None:
            gram = self._gram(loss.task_losses, self.representation.take(), step)
        return TaskSignals(step, labelled_rows.cpu().numpy()[self.attached] > 0, losses, gram)

    def _reduce_losses(self, loss: JointLoss, labelled_rows: Tensor) -> FloatVector:
        """The mean losses (A,) of all ranks, 1 where no row is labelled."""
        sums = self.group.all_reduce(loss.task_sums - loss.least_sums)
        means = (sums / labelled_rows.clamp(min=1)).double().cpu().numpy()
        losses = means * np.array([task.loss_weight for task in self.tasks])
        losses = np.where(labelled_rows.cpu().numpy() > 0, np.maximum(losses, MIN_LOSS), 1.0)
        return losses[self.attached]

    def _gram(self, task_losses: list[Tensor], representation: Tensor, step: int) -> FloatMatrix:
        """G (A, A) of the global batch."""
        gradients = [
            torch.autograd.grad(task_losses[place], representation, retain_graph=True)[0].flatten()
            for place in self.attached
        ]
        products = self.group.all_reduce(inner_products(gradients))
        gram: FloatMatrix = products.cpu().numpy() / self.group.world_size**2  # see count_divisors
        if not np.isfinite(gram).all():
            bad = np.array(self.attached)[~np.isfinite(np.diag(gram))]
            names = [self.tasks[place].name for place in bad]
            raise ValueError(
                f"the gradients of tasks {names} are not finite in step {step}: lower the learning rate"
            )
        return gram


def inner_products(vectors: list[Tensor]) -> Tensor:
    """The matrix (T, T), in double precision, of T vectors (D,) in single precision or less.

    Slice by slice, which stays in the cache; summed in double precision, slices add no error of their own.
    """
    total = torch.zeros(len(vectors), len(vectors), dtype=torch.float64, device=vectors[0].device)
    for slices in zip(*(torch.split(vector, SLICE) for vector in vectors), strict=True):
        rows = torch.stack(slices)
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        total += rows @ rows.T
    return total
