"""Entire Space Counterfactual Multi-task Model (Wang et al., SIGIR 2022, arxiv.org/abs/2204.05125).

ESMM, and for each task that depends on another the risk of its conditional probability r (CVR) itself, as if
the other task had happened on every row. With o the other's label, p its probability (the propensity), l the
cross-entropy of r, and means over all rows where both labels were observed:

    ipw: mean(o l / p)
    dr:  mean(d + o (l - d) / p) + mean(o (l - d)^2 / p)     d = softplus of a tower that imputes l

p is a constant here, clipped from below: this risk must not move the task that gives the propensity. In the
second mean of dr, l is a constant: it is what the imputation learns.

Shapes: B = batch, I = input dim, H = output dim, P = tasks that depend on another.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from mtl_model.layers.parallel_mlps import ParallelMLPs
from mtl_model.sharing.esmm import ESMM


class ESCM2(ESMM):
    """Adds "purchase.conditional", the logit of r, and "purchase.imputed" (B,), d, to the logits."""

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        estimator: Literal["ipw", "dr"],
        counterfactual_weight: float,
        min_propensity: float,
        tasks: Sequence[str],
        parents: Mapping[str, str],
        dropout: float,
    ) -> None:
        super().__init__(input_dim, hidden_dims, tasks, parents, dropout)
        self.counterfactual_weight, self.min_propensity = counterfactual_weight, min_propensity
        self.imputation = (
            Imputation(input_dim, hidden_dims, tuple(parents), dropout) if estimator == "dr" else None
        )

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to one hidden (B, H) per task, and the imputed losses (B,)."""
        hidden = super().forward(inputs)
        return hidden if self.imputation is None else hidden | self.imputation(inputs)

    def join_logits(self, hidden: Mapping[str, Tensor], logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        conditional = {f"{task}.conditional": logits[task] for task in self.parents}
        imputed = {name: row_losses for name, row_losses in hidden.items() if name.endswith(".imputed")}
        return super().join_logits(hidden, logits) | conditional | imputed

    def extra_row_losses(
        self, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        extra = {}
        for task, parent in self.parents.items():
            propensities = logits[parent][:, 0].sigmoid().detach().clamp(min=self.min_propensity)
            happened = labels[parent][:, 0] / propensities
            row_losses = F.binary_cross_entropy_with_logits(
                logits[f"{task}.conditional"], labels[task], reduction="none"
            )[:, 0]
            if self.imputation is None:
                risk = happened * row_losses
            else:
                imputed = logits[f"{task}.imputed"]
                risk = imputed + happened * (row_losses - imputed)
                risk = risk + happened * (row_losses.detach() - imputed).square()
            extra[task] = self.counterfactual_weight * masks[parent] * risk
        return extra


class Imputation(nn.Module):
    """What the conditional loss of a row is guessed to be, also where it is not seen."""

    def __init__(
        self, input_dim: int, hidden_dims: Sequence[int], tasks: Sequence[str], dropout: float
    ) -> None:
        super().__init__()
        self.bottoms = ParallelMLPs(input_dim, len(tasks), hidden_dims, dropout)
        self.heads = nn.ModuleDict({task: nn.Linear(self.bottoms.output_dim, 1) for task in tasks})

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to one imputed loss (B,) per task, named "purchase.imputed"."""
        hidden = zip(self.heads.items(), self.bottoms(inputs).unbind(), strict=True)
        return {f"{task}.imputed": F.softplus(head(rows)[:, 0]) for (task, head), rows in hidden}
