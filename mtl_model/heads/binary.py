"""Did it happen? One logit; loss: binary cross-entropy.

Where only a share w of the negatives was kept for training, the model's odds are too high by 1 / w.
The true probability is p = q w / (1 - q + q w) with q = sigmoid(logit), which is sigmoid(logit + log w)
(King and Zeng, 2001, doi.org/10.1093/oxfordjournals.pan.a004868).

Shapes: B = batch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BinaryHead(nn.Module):
    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Maps hidden (B, input_dim) to logits (B, 1)."""
        logits: Tensor = self.linear(hidden)
        return logits

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Maps logits and labels (B, 1) to losses (B,)."""
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none")[:, 0]

    def predict(self, logits: Tensor, log_sampling_rate: float) -> Tensor:
        """Maps logits (B, 1) to probabilities (B,)."""
        return torch.sigmoid(logits[:, 0] + log_sampling_rate)
