"""Which one of K? One logit per class; loss: the cross-entropy of the softmax.

Shapes: B = batch, K = classes.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class MulticlassHead(nn.Module):
    def __init__(self, input_dim: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, num_classes)

    def forward(self, hidden: Tensor) -> Tensor:
        """Maps hidden (B, input_dim) to logits (B, K)."""
        logits: Tensor = self.linear(hidden)
        return logits

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Maps logits (B, K) and classes (B, 1), 0 to K - 1, to losses (B,)."""
        return F.cross_entropy(logits, labels[:, 0].long(), reduction="none")

    def predict(self, logits: Tensor, log_sampling_rate: float) -> Tensor:
        """Maps logits (B, K) to probabilities (B, K)."""
        return logits.softmax(dim=1)
