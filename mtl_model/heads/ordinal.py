"""Which of K ordered levels? CORAL (Cao, Mirjalili and Raschka, 2020, arxiv.org/abs/1901.07884).

P(y > k) = sigmoid(w h + b_k), k = 0 .. K - 2; loss: the sum over k of the cross-entropy of [y > k].
All thresholds share w, and b falls with k where the loss is least: no row's probabilities cross.

Shapes: B = batch, K = levels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class OrdinalHead(nn.Module):
    def __init__(self, input_dim: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, 1, bias=False)
        shares = torch.arange(num_classes - 1, 0, -1) / num_classes
        self.biases = nn.Parameter(torch.logit(shares))  # as if all levels were equally frequent

    def forward(self, hidden: Tensor) -> Tensor:
        """Maps hidden (B, input_dim) to logits (B, K - 1) of y > 0, y > 1, ..."""
        logits: Tensor = self.linear(hidden) + self.biases
        return logits

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Maps logits (B, K - 1) and levels (B, 1), 0 to K - 1, to losses (B,)."""
        levels = torch.arange(logits.shape[1], device=logits.device)
        exceeded = (labels > levels).to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, exceeded, reduction="none").sum(dim=1)

    def predict(self, logits: Tensor, log_sampling_rate: float) -> Tensor:
        """Maps logits (B, K - 1) to expected levels (B,): the sum of P(y > k)."""
        return torch.sigmoid(logits).sum(dim=1)
