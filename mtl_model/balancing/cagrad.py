"""CAGrad (Liu et al., NeurIPS 2021, arxiv.org/abs/2110.14048).

The direction d that helps the worst task most, max_d min_t g_t . d, with |d - m| <= radius |m|, m the mean
gradient. With R = radius |m| and g_w = J^T w:

    d = m + R g_w / |g_w|,   w = argmin g_w . m + R |g_w|  over w >= 0, sum w = 1

As |g_w| = min_e (|g_w|^2 / e + e) / 2, for a given e it is the shortest vector in the hull of the
g_t + (e / R) m; the right e is where |g_w| = e, the root of an increasing function.

Shapes: T = tasks.
"""

import numpy as np
import scipy  # which loads scipy.optimize only when it is called

from mtl_model.balancing.balancer import FloatMatrix, FloatVector
from mtl_model.balancing.gradient_aggregator import ROUNDING, GradientAggregator, square_root
from mtl_model.balancing.mgda import shortest_in_hull


class CAGrad(GradientAggregator):
    def __init__(self, num_tasks: int, radius: float) -> None:
        super().__init__(num_tasks)
        self.radius = radius

    def aggregate(self, gram: FloatMatrix, step: int) -> FloatVector:
        gradients = square_root(gram)
        mean = gradients.mean(axis=1)
        limit = self.radius * float(np.linalg.norm(mean))
        uniform = np.full(len(gram), 1 / len(gram))
        if limit <= ROUNDING:
            return uniform
        worst = _worst_case(gradients, mean, limit)
        length = float(np.linalg.norm(gradients @ worst))
        return uniform + (limit / length) * worst if length > ROUNDING else uniform


def _worst_case(gradients: FloatMatrix, mean: FloatVector, limit: float) -> FloatVector:
    """The w (T,) of the columns of `gradients` (T, T)."""

    def combine(length: float) -> FloatVector:
        return shortest_in_hull(gradients + (length / limit) * mean[:, None])

    def excess(length: float) -> float:
        return 1 - float(np.linalg.norm(gradients @ combine(length))) / length

    longest = 2 * float(np.linalg.norm(gradients, axis=0).max())
    if excess(ROUNDING) >= 0:  # gradients that cancel each other: no common direction
        return combine(ROUNDING)
    return combine(scipy.optimize.brentq(excess, ROUNDING, longest, xtol=1e-14, rtol=1e-14))
