"""IMTL-L: impartial multi-task learning (Liu et al., ICLR 2021, openreview.net/forum?id=IMPnRXEWpvr).

minimises  sum_t exp(s_t) L_t - s_t  over the model and s, which draws every exp(s_t) L_t to 1

The model sees exp(s_t) L_t; s_t has the gradient exp(s_t) L_t - 1 and its own Adam.
"""

import numpy as np

from mtl_model.balancing.adam import adam_change, adam_state
from mtl_model.balancing.balancer import Balancer, FloatVector, TaskSignals


class IMTLL(Balancer):
    reads_losses = True

    def __init__(self, num_tasks: int, learning_rate: float) -> None:
        super().__init__(num_tasks)
        self.learning_rate = learning_rate
        self.state = {"log_scales": np.zeros(num_tasks)} | adam_state(num_tasks)

    def weigh(self, signals: TaskSignals) -> FloatVector:
        weights: FloatVector = np.exp(self.state["log_scales"])
        gradient = weights * signals.losses - 1
        self.state["log_scales"] = self.state["log_scales"] + adam_change(
            self.state, gradient, self.learning_rate, signals.labelled
        )
        return weights
