"""Adaptive Information Transfer Multi-task (Xi et al., KDD 2021, arxiv.org/abs/2105.08489).

With q_t a task's bottom and s the task that t depends on, g_t learns what to pass on and attention how much:

    z_t = sum over u in (g_t(z_s), q_t) of w_u V_t u,    w = softmax(<K_t u, Q_t u> / sqrt(H))
    z_t = q_t of a task that depends on none
    calibrator: calibrator_weight * mean(max(p_t - p_s, 0)) over the rows where both labels were observed

Probabilities are of all rows (CTCVR, not CVR): only then must a purchase be less likely than the click.

Shapes: B = batch, I = input dim, H = output dim.
"""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from mtl_model.layers.mlp import MLP
from mtl_model.layers.parallel_mlps import ParallelMLPs
from mtl_model.sharing.sharing import Sharing


class AITM(Sharing):
    """One bottom per task; what a task learned is handed down along `parents`."""

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        calibrator_weight: float,
        tasks: Sequence[str],
        parents: Mapping[str, str],
        dropout: float,
    ) -> None:
        super().__init__()
        self.bottoms = ParallelMLPs(input_dim, len(tasks), hidden_dims, dropout)
        self.output_dim = self.bottoms.output_dim
        self.transfers = nn.ModuleDict(
            {task: InformationTransfer(self.output_dim, dropout) for task in parents}
        )
        self.calibrator_weight = calibrator_weight
        self.tasks, self.parents = tuple(tasks), dict(parents)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to one hidden (B, H) per task."""
        hidden = dict(zip(self.tasks, self.bottoms(inputs).unbind(), strict=True))
        for task, parent in self.parents.items():  # a parent's own parent comes before
            hidden[task] = self.transfers[task](hidden[parent], hidden[task])
        return hidden

    def extra_row_losses(
        self, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        extra = {}
        for task, parent in self.parents.items():
            excess = F.relu(logits[task].sigmoid() - logits[parent].sigmoid())[:, 0]
            extra[task] = self.calibrator_weight * masks[parent] * excess
        return extra


class InformationTransfer(nn.Module):
    """Attention over what the parent passes on and the task's own.

    What the formula asks of either source is taken together: <K u + k, Q u + q> is u'(K'Q)u + (K'q + Q'k)'u
    and a number that softmax ignores, and V is applied to the mixture.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.passed_on = MLP(dim, [dim], dropout)
        self.projections = nn.Linear(dim, 3 * dim)

    def forward(self, parent: Tensor, own: Tensor) -> Tensor:
        """Maps the parent's z and the task's q (B, H) to its z (B, H)."""
        value, key, query = self.projections.weight.chunk(3)
        value_bias, key_bias, query_bias = self.projections.bias.chunk(3)
        form, line = query.T @ key, query_bias @ key + key_bias @ query  # (H, H), (H,)
        passed = self.passed_on(parent)
        scores = [(F.linear(source, form, line) * source).sum(dim=1) for source in (passed, own)]
        own_share = ((scores[1] - scores[0]) / math.sqrt(own.shape[1])).sigmoid()  # a softmax of two
        return F.linear(passed + own_share[:, None] * (own - passed), value, value_bias)
