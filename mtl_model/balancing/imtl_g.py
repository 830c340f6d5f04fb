"""IMTL-G: impartial multi-task learning (Liu et al., ICLR 2021, openreview.net/forum?id=IMPnRXEWpvr).

The direction has the same projection onto each gradient:  G a = c n,  n_t = |g_t|,  sum a = 1

So a is proportional to G^-1 n. It is scaled to sum |a| = 1 with c > 0. That is the paper's sum where no
weight is negative; where some are, the paper's sum may pass through 0 and turn the direction around.
"""

import numpy as np

from mtl_model.balancing.balancer import FloatMatrix, FloatVector
from mtl_model.balancing.gradient_aggregator import ROUNDING, GradientAggregator


class IMTLG(GradientAggregator):
    def aggregate(self, gram: FloatMatrix, step: int) -> FloatVector:
        norms = np.sqrt(np.diag(gram))
        cosines = gram / np.outer(norms, norms)
        weights: FloatVector = np.linalg.pinv(cosines, rcond=ROUNDING, hermitian=True).sum(axis=1) / norms
        total = np.abs(weights).sum()
        return weights / total if total > ROUNDING else np.zeros(len(gram))  # 0: no common direction
