"""Uncertainty weighting (Kendall, Gal and Cipolla, CVPR 2018, arxiv.org/abs/1705.07115).

minimises  sum_t 1/2 exp(-s_t) L_t + 1/2 s_t  over the model and s, the log of each task's noise variance

The model sees 1/2 exp(-s_t) L_t; s_t has the gradient 1/2 - 1/2 exp(-s_t) L_t and its own Adam.
"""

import numpy as np

from mtl_model.balancing.adam import adam_change, adam_state
from mtl_model.balancing.balancer import Balancer, FloatVector, TaskSignals


class Uncertainty(Balancer):
    reads_losses = True

    def __init__(self, num_tasks: int, learning_rate: float) -> None:
        super().__init__(num_tasks)
        self.learning_rate = learning_rate
        self.state = {"log_variances": np.zeros(num_tasks)} | adam_state(num_tasks)

    def weigh(self, signals: TaskSignals) -> FloatVector:
        weights: FloatVector = 0.5 * np.exp(-self.state["log_variances"])
        gradient = 0.5 - weights * signals.losses
        self.state["log_variances"] = self.state["log_variances"] + adam_change(
            self.state, gradient, self.learning_rate, signals.labelled
        )
        return weights
