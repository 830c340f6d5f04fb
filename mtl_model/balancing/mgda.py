"""Multiple Gradient Descent (Désidéri, 2012, doi.org/10.1016/j.crma.2012.03.014).

On the shared representation: Sener and Koltun, NeurIPS 2018, arxiv.org/abs/1810.04650.

a = argmin |J^T a|  over a >= 0, sum a = 1:  the shortest vector in the convex hull of the gradients

The non-negative least squares problem min_u |L u|^2 + (sum u - 1)^2, L^T L = G, has the solution u = s a with
s = 1 / (1 + |L a|^2): for each sum s of u, the first term asks for the shortest vector.
"""

import numpy as np
import scipy  # which loads scipy.optimize only when it is called

from mtl_model.balancing.balancer import FloatMatrix, FloatVector
from mtl_model.balancing.gradient_aggregator import GradientAggregator, square_root


class MGDA(GradientAggregator):
    def aggregate(self, gram: FloatMatrix, step: int) -> FloatVector:
        return shortest_in_hull(square_root(gram))


def shortest_in_hull(vectors: FloatMatrix) -> FloatVector:
    """The convex combination (T,) of the columns of (D, T) that is shortest."""
    num_vectors = vectors.shape[1]
    target = np.append(np.zeros(len(vectors)), 1.0)
    combination: FloatVector = scipy.optimize.nnls(
        np.vstack([vectors, np.ones(num_vectors)]), target, maxiter=100 * num_vectors
    )[0]
    combination /= combination.sum()
    return combination
