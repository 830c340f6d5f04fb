"""Which of these? One logit per label; loss: the mean binary cross-entropy over the labels.

Shapes: B = batch, L = labels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MultilabelHead(nn.Module):
    def __init__(self, input_dim: int, num_labels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, num_labels)

    def forward(self, hidden: Tensor) -> Tensor:
        """Maps hidden (B, input_dim) to logits (B, L)."""
        logits: Tensor = self.linear(hidden)
        return logits

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Maps logits and labels (B, L) to losses (B,)."""
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)

    def predict(self, logits: Tensor, log_sampling_rate: float) -> Tensor:
        """Maps logits (B, L) to probabilities (B, L)."""
        return torch.sigmoid(logits + log_sampling_rate)
