"""AdamW (Loshchilov and Hutter, 2019, arxiv.org/abs/1711.05101), and row-wise Adagrad for embeddings."""

import logging
import math
from collections.abc import Iterable

import torch
from torch import nn, optim

from mtl_model.config import TrainingConfig
from mtl_model.layers.embedding import FusedEmbedding, Growth, grow_slots
from mtl_model.layers.huge_pages import empty_table

logger = logging.getLogger(__name__)

LARGE_TABLE_ROWS = 1_000_000
EPS = 1e-8


class AdamWWithSparseRows(optim.AdamW):
    """AdamW for dense gradients; row-wise Adagrad for sparse ones, whose ids must be unique.

    Adagrad (Duchi et al., JMLR 2011, jmlr.org/papers/v12/duchi11a.html) with one number of state for the
    embedding r of an id (Mudigere et al., ISCA 2022, arxiv.org/abs/2104.05158):

        s += mean(g^2)
        r -= lr * g / (sqrt(s) + eps)

    An id that is not in the batch has g = 0 and so stays as it is: the step costs what the batch's ids cost,
    however many rows there are. The copies of an id, one per task, have a number each.
    """

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closures here
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None and table.grad.is_sparse:
                    self._step_rows(table, group["lr"])
                    table.grad = None  # which leaves AdamW nothing to do here
        super().step()

    def follow(self, growth: Growth) -> None:
        """Goes on with a table that has grown; its new rows have no past."""
        for group in self.param_groups:
            group["params"] = [growth.table if each is growth.former else each for each in group["params"]]
        self.state[growth.table] = {
            name: grow_slots(tensor, growth.before, growth.after) if tensor.dim() else tensor
            for name, tensor in self.state.pop(growth.former, {}).items()
        }

    @torch.no_grad()
    def _step_rows(self, table: nn.Parameter, learning_rate: float) -> None:
        state, gradient = self.state[table], table.grad
        if gradient is None:
            return
        ids, rows = gradient.indices()[0], gradient.values()  # (U,), (U, C * D) of U unique ids
        sums = state["square_sums"].index_select(0, ids)  # (U, C)
        by_copy = torch.unflatten(rows, 1, (sums.shape[1], -1))  # (U, C, D)
        sums += by_copy.square().mean(dim=2)
        state["square_sums"].index_copy_(0, ids, sums)
        change = (by_copy * (-learning_rate / (sums.sqrt() + EPS))[:, :, None]).flatten(start_dim=1)
        table.index_copy_(0, ids, table.index_select(0, ids) + change)


def build_optimizer(model: nn.Module, training: TrainingConfig) -> AdamWWithSparseRows:
    """Embeddings have a weight decay of their own: a rare row would decay at every step without it."""
    embeddings: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (embeddings if name.startswith("embedding.") else others).append(parameter)
    embedding_lr_ratio = (training.embedding_learning_rate or training.learning_rate) / training.learning_rate
    groups = [
        {"params": others, "weight_decay": training.weight_decay, "lr_ratio": 1.0},
        {
            "params": embeddings,
            "weight_decay": training.embedding_weight_decay,
            "lr_ratio": embedding_lr_ratio,
        },
    ]
    groups = [group for group in groups if group["params"]]
    optimizer = AdamWWithSparseRows(groups, lr=training.learning_rate, fused=True)
    set_learning_rate(optimizer, training.learning_rate)
    for module in model.modules():
        if isinstance(module, FusedEmbedding):
            _prepare_tables(module, optimizer)
    return optimizer


def _prepare_tables(embedding: FusedEmbedding, optimizer: optim.Optimizer) -> None:
    """Gives sparse tables their state, (rows, copies) each."""
    for name, table in embedding.tables.items():
        if embedding.sparse_gradients:
            square_sums = empty_table(len(table), embedding.copies[name]).zero_()
            optimizer.state[table]["square_sums"] = square_sums.to(table.device)
        elif len(table) >= LARGE_TABLE_ROWS:
            logger.warning(
                "every step goes over all %d rows of the embedding table %s: "
                "training.embedding_optimizer: rowwise_adagrad touches those of the batch alone",
                len(table),
                name,
            )


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> None:
    """Scales all gradients down to a joint norm of `max_norm`, as if the sparse ones were dense."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    gradients = [gradient.values() if gradient.is_sparse else gradient for gradient in gradients]
    scale = (max_norm / (nn.utils.get_total_norm(gradients) + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale)


def learning_rate_at(step: int, total_steps: int, training: TrainingConfig) -> float:
    """Linear warm-up, then a cosine from `learning_rate` down to `final_learning_rate`, which then stays."""
    if step >= total_steps:
        return training.final_learning_rate
    if step < training.warmup_steps:
        return training.learning_rate * (step + 1) / training.warmup_steps
    progress = (step - training.warmup_steps) / (total_steps - training.warmup_steps)
    share = 0.5 * (1 + math.cos(math.pi * progress))
    return training.final_learning_rate + share * (training.learning_rate - training.final_learning_rate)


def set_learning_rate(optimizer: optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["lr_ratio"]
