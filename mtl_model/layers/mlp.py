"""A stack of Linear, ReLU, LayerNorm.

LayerNorm rather than BatchNorm: a row's score must not depend on the rows beside it, nor on the rank.
It comes last and without weights of its own: the Linear that follows can learn the same.
"""

from collections.abc import Sequence

from torch import Tensor, nn


class MLP(nn.Module):
    def __init__(self, input_dim: int, hidden_dims: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.output_dim = hidden_dims[-1] if hidden_dims else input_dim
        self.layers = nn.Sequential()
        for inputs, outputs in zip([input_dim, *hidden_dims], hidden_dims, strict=False):
            self.layers.append(nn.Linear(inputs, outputs))
            self.layers.append(nn.ReLU())
            self.layers.append(nn.LayerNorm(outputs, elementwise_affine=False))
            if dropout:
                self.layers.append(nn.Dropout(dropout))

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps inputs (B, input_dim) to (B, output_dim)."""
        outputs: Tensor = self.layers(inputs)
        return outputs
