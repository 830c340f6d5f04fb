"""Nash-MTL (Navon et al., ICML 2022, arxiv.org/abs/2202.01017).

The Nash bargaining point of the tasks: a > 0 with G a = 1 / a, which minimises 1/2 a^T G a - sum log a. The
function is self-concordant: Newton's method finds it, with steps 1 / (1 + decrement) until it is near.

The solution makes every direction sqrt(T) long, however small the gradients are; it is scaled to sum a = T,
so that the shared part is not out of proportion to the towers.

Shapes: T = tasks.
"""

import numpy as np

from mtl_model.balancing.balancer import FloatMatrix, FloatVector
from mtl_model.balancing.gradient_aggregator import GradientAggregator, square_root

MAX_STEPS = 500
NEAR, CONVERGED = 0.25, 1e-11


class NashMTL(GradientAggregator):
    def aggregate(self, gram: FloatMatrix, step: int) -> FloatVector:
        weights = bargain(gram)
        weights *= len(gram) / weights.sum()
        return weights


def bargain(gram: FloatMatrix) -> FloatVector:
    """Solves G a = 1 / a for a > 0 (T,), by the gradients' cosines: a_t |g_t| does not depend on |g_t|."""
    norms = np.sqrt(np.diag(gram))
    root = square_root(gram / np.outer(norms, norms))
    cosines = root.T @ root
    scaled = np.ones(len(gram))
    for _ in range(MAX_STEPS):
        gradient = cosines @ scaled - 1 / scaled
        change = np.linalg.solve(cosines + np.diag(scaled**-2), -gradient)
        decrement = np.sqrt(np.maximum(-gradient @ change, 0.0))
        scaled = scaled + change / (1 + decrement if decrement > NEAR else 1)
        if decrement < CONVERGED:
            break
    return scaled / norms
