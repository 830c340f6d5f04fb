"""GradNorm (Chen et al., ICML 2018, arxiv.org/abs/1711.02257), by the gradients of the shared representation.

With n_t = |grad L_t|, N = mean_t(w_t n_t) and r_t = (L_t / L_t at first) / mean_u(L_u / L_u at first):

    minimises  sum_t |w_t n_t - N r_t^asymmetry|  over w, the right-hand sides taken as constants

by Adam; then w is scaled to the sum T. Only tasks with labelled rows take part in a step.

Shapes: T = tasks.
"""

import numpy as np
import numpy.typing as npt

from mtl_model.balancing.adam import adam_change, adam_state
from mtl_model.balancing.balancer import Balancer, FloatVector, TaskSignals

MIN_WEIGHT = 1e-2


class GradNorm(Balancer):
    reads_losses = True
    reads_gradients = True

    def __init__(self, num_tasks: int, asymmetry: float, learning_rate: float) -> None:
        super().__init__(num_tasks)
        self.asymmetry, self.learning_rate = asymmetry, learning_rate
        self.state = {"weights": np.ones(num_tasks), "first_losses": np.zeros(num_tasks)}
        self.state |= adam_state(num_tasks)

    def weigh(self, signals: TaskSignals) -> FloatVector:
        weights, labelled = self.state["weights"], signals.labelled
        if not labelled.any():
            return weights
        unseen = labelled & (self.state["first_losses"] == 0)
        self.state["first_losses"] = np.where(unseen, signals.losses, self.state["first_losses"])
        gradient = np.zeros(self.num_tasks)
        gradient[labelled] = self._gradient(signals, labelled)
        moved = weights + adam_change(self.state, gradient, self.learning_rate, labelled)
        moved = np.maximum(moved, MIN_WEIGHT)
        self.state["weights"] = moved * (self.num_tasks / moved.sum())
        return weights

    def _gradient(self, signals: TaskSignals, labelled: npt.NDArray[np.bool_]) -> FloatVector:
        norms: FloatVector = np.sqrt(np.diag(signals.gram)[labelled])
        weighted_norms = self.state["weights"][labelled] * norms
        ratios = signals.losses[labelled] / self.state["first_losses"][labelled]
        targets = weighted_norms.mean() * (ratios / ratios.mean()) ** self.asymmetry
        gradient: FloatVector = np.sign(weighted_norms - targets) * norms
        return gradient
