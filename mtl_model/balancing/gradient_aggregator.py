"""Gradient aggregation: weights from the Gram matrix of the tasks' gradients, G = J J^T.

Each method's direction is a combination J^T a of the rows of J; a depends on G alone.

Shapes: T = tasks.
"""

import numpy as np

from mtl_model.balancing.balancer import Balancer, FloatMatrix, FloatVector, TaskSignals

ROUNDING = float(np.finfo(np.float32).eps)  # of the gradients
RIDGE = 1e-12  # on cosines


class GradientAggregator(Balancer):
    """Weighs only what the tasks share: towers and heads are trained on their own task's loss."""

    reads_gradients = True
    weighs_towers = False

    def weigh(self, signals: TaskSignals) -> FloatVector:
        squared_norms = np.diag(signals.gram)
        moving = squared_norms > 0  # no labelled row, no gradient
        weights = np.zeros(self.num_tasks)
        if moving.any():
            gram = signals.gram[np.ix_(moving, moving)] / squared_norms[moving].mean()
            weights[moving] = self.aggregate(gram, signals.step)
        return weights

    def aggregate(self, gram: FloatMatrix, step: int) -> FloatVector:
        """Maps G (T, T), with a mean diagonal of 1 and no 0 there, to a (T,)."""
        raise NotImplementedError


def square_root(gram: FloatMatrix) -> FloatMatrix:
    """L (T, T) with L^T L = G: its columns have the gradients' lengths and angles. Never singular.

    Directions in which gradients differ by no more than rounding get the length of the ridge, next to none:
    a method would stretch them without limit.
    """
    norms = np.sqrt(np.diag(gram))
    values, vectors = np.linalg.eigh(gram / np.outer(norms, norms))
    values = np.where(values > ROUNDING * values[-1], values, 0.0) + RIDGE
    root: FloatMatrix = np.sqrt(values)[:, None] * vectors.T * norms
    return root
