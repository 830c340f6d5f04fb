"""One bottom for all tasks, told which by an embedding: FiLM (Perez et al., 2018, arxiv.org/abs/1709.07871).

h_t^l = (1 + gamma_l(e_t)) * LayerNorm(ReLU(W_l h_t^(l-1))) + beta_l(e_t), gamma and beta linear in e_t

The layers are those of MLP. Before its ReLU, where the paper has it, a shift can silence a unit for a task.

Shapes: B = batch, I = input dim, H = a layer's output dim, T = tasks, K = task embedding dim.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_model.sharing.sharing import Sharing


class TaskEmbedding(Sharing):
    """Tasks share all weights but their own embedding, which scales and shifts each layer."""

    task_free = ("layers", "films")

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        task_embedding_dim: int,
        tasks: Sequence[str],
        dropout: float,
    ) -> None:
        super().__init__()
        dims = [input_dim, *hidden_dims]
        self.embeddings = nn.Parameter(torch.randn(len(tasks), task_embedding_dim))
        self.layers = nn.ModuleList(
            nn.Linear(inputs, outputs) for inputs, outputs in zip(dims, hidden_dims, strict=False)
        )
        self.films = nn.ModuleList(nn.Linear(task_embedding_dim, 2 * outputs) for outputs in hidden_dims)
        self.dropout = nn.Dropout(dropout)
        self.output_dim = hidden_dims[-1]
        self.tasks = tuple(tasks)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to one hidden (B, H) per task."""
        hidden = inputs
        for layer, film in zip(self.layers, self.films, strict=True):
            features = F.relu(layer(hidden))  # (B, H), after the first layer (T, B, H)
            features = self.dropout(F.layer_norm(features, features.shape[-1:]))
            gamma, beta = film(self.embeddings)[:, None].chunk(2, dim=-1)  # (T, 1, H)
            hidden = (1 + gamma) * features + beta
        return dict(zip(self.tasks, hidden.unbind(), strict=True))
