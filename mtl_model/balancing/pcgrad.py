"""PCGrad (Yu et al., NeurIPS 2020, arxiv.org/abs/2001.06782).

For each task i, from p_i = g_i on, and each other task j in random order:

    if p_i . g_j < 0 then p_i -= (p_i . g_j / |g_j|^2) g_j

The direction is sum_i p_i. The order depends on the step alone.
"""

import numpy as np

from mtl_model.balancing.balancer import FloatMatrix, FloatVector
from mtl_model.balancing.gradient_aggregator import GradientAggregator


class PCGrad(GradientAggregator):
    def aggregate(self, gram: FloatMatrix, step: int) -> FloatVector:
        order = np.random.default_rng(step)
        combinations = np.eye(len(gram))  # row i: p_i in terms of the gradients
        for task, combination in enumerate(combinations):
            for other in order.permutation(len(gram)):
                conflict = combination @ gram[:, other]
                if other != task and conflict < 0:
                    combination[other] -= conflict / gram[other, other]
        weights: FloatVector = combinations.sum(axis=0)
        return weights
