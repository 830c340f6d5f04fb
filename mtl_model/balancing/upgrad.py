"""UPGrad, Unconflicting Projection of Gradients (Quinton and Rey, 2024, arxiv.org/abs/2406.16232).

The mean of the gradients' projections onto the dual cone {x : J x >= 0}, where no task gets worse. The
projection of g_i is J^T (e_i + d), d = argmin |J^T (e_i + d)| over d >= 0: non-negative least squares, with
L in the place of J^T, L^T L = G.

Shapes: T = tasks.
"""

import numpy as np
import scipy  # which loads scipy.optimize only when it is called

from mtl_model.balancing.balancer import FloatMatrix, FloatVector
from mtl_model.balancing.gradient_aggregator import GradientAggregator, square_root


class UPGrad(GradientAggregator):
    def aggregate(self, gram: FloatMatrix, step: int) -> FloatVector:
        weights: FloatVector = projections(gram).mean(axis=0)
        return weights


def projections(gram: FloatMatrix) -> FloatMatrix:
    """Row i: the weights of the projection of g_i onto the dual cone, (T, T)."""
    gradients = square_root(gram)
    weights = np.eye(len(gram))
    for task, gradient in enumerate(gradients.T):
        weights[task] += scipy.optimize.nnls(gradients, -gradient, maxiter=100 * len(gram))[0]
    return weights
