"""AdamW (Loshchilov and Hutter, 2019, arxiv.org/abs/1711.05101) with embeddings in a group of their own."""

import math

from torch import nn, optim

from mtl_model.config import TrainingConfig


def build_optimizer(model: nn.Module, training: TrainingConfig) -> optim.AdamW:
    """Embeddings have a weight decay of their own: a rare row would decay at every step without it."""
    embeddings: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (embeddings if name.startswith("embedding.") else others).append(parameter)
    groups = [
        {"params": others, "weight_decay": training.weight_decay},
        {"params": embeddings, "weight_decay": training.embedding_weight_decay},
    ]
    groups = [group for group in groups if group["params"]]
    return optim.AdamW(groups, lr=training.learning_rate, fused=True)


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
        group["lr"] = learning_rate
