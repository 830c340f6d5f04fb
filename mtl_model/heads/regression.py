"""How much, in the label's own unit; loss: the squared error.

Shapes: B = batch.
"""

from torch import Tensor, nn


class RegressionHead(nn.Module):
    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Maps hidden (B, input_dim) to values (B, 1)."""
        values: Tensor = self.linear(hidden)
        return values

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Maps values and labels (B, 1) to losses (B,)."""
        return (logits - labels).square()[:, 0]

    def predict(self, logits: Tensor, log_sampling_rate: float) -> Tensor:
        """Maps values (B, 1) to values (B,); nothing to correct: there are no negatives."""
        return logits[:, 0]
