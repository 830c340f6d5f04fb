"""Aligned-MTL (Senushkin et al., CVPR 2023, arxiv.org/abs/2305.19000).

With G = V diag(v) V^T:  a = sqrt(min v) V diag(v)^(-1/2) V^T 1

The gradients are replaced by the closest ones that are orthogonal and of one length, that of the smallest
principal component; components that are nothing but rounding are left out.
"""

import numpy as np

from mtl_model.balancing.balancer import FloatMatrix, FloatVector
from mtl_model.balancing.gradient_aggregator import ROUNDING, GradientAggregator


class AlignedMTL(GradientAggregator):
    def aggregate(self, gram: FloatMatrix, step: int) -> FloatVector:
        values, vectors = np.linalg.eigh(gram)
        kept = values > ROUNDING * len(gram) * values[-1]
        values, vectors = values[kept], vectors[:, kept]
        weights: FloatVector = np.sqrt(values[0]) * (vectors / np.sqrt(values)) @ vectors.sum(axis=0)
        return weights
