"""Maximum mean discrepancy (Gretton et al., JMLR 2012, jmlr.org/papers/v13/gretton12a.html).

Formula 5 there, the biased estimate:

MMD^2 = mean_ij k(s_i, s_j) + mean_ij k(t_i, t_j) - 2 mean_ij k(s_i, t_j)

k(x, y) is the mean of exp(-|x - y|^2 / (f v)) over the factors f: kernels of several widths, as Long et al.
have them (ICML 2015, arxiv.org/abs/1502.02791). v is the mean of |x - y|^2 over all pairs of different rows,
taken as a constant.

Shapes: S = source rows, R = target rows, D = dim.
"""

import torch
from torch import Tensor

WIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
MIN_WIDTH = 1e-12


def mmd(source: Tensor, target: Tensor) -> Tensor:
    """Maps (S, D) and (R, D) to MMD^2, 0 where the rows are alike."""
    rows = torch.cat([source, target])
    squares = rows.square().sum(dim=1)
    distances = (squares[:, None] + squares - 2 * rows @ rows.T).clamp(min=0.0)
    num_pairs = max(len(rows) * (len(rows) - 1), 1)
    width = (distances.detach().sum() / num_pairs).clamp(min=MIN_WIDTH)
    kernels = torch.stack([torch.exp(-distances / (factor * width)) for factor in WIDTH_FACTORS]).mean(dim=0)
    of_source, of_target = kernels[: len(source)], kernels[len(source) :]
    return (
        of_source[:, : len(source)].mean()
        + of_target[:, len(source) :].mean()
        - 2 * of_source[:, len(source) :].mean()
    )
