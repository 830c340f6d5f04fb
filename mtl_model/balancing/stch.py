"""Smooth Tchebycheff scalarisation (Lin et al., ICML 2024, arxiv.org/abs/2402.19078).

minimises  mu log sum_t exp(w_t (L_t - z_t) / mu),  a smooth form of max_t w_t (L_t - z_t)

w_t is the task's `loss_weight`, z_t the least that L_t could be, mu the smoothing. The gradient is
sum_t softmax_t(w (L - z) / mu) w_t grad L_t: the softmax is the weight, of tasks with labelled rows.
"""

import numpy as np

from mtl_model.balancing.balancer import Balancer, FloatVector, TaskSignals, softmax


class STCH(Balancer):
    reads_losses = True

    def __init__(self, num_tasks: int, smoothing: float) -> None:
        super().__init__(num_tasks)
        self.smoothing = smoothing

    def weigh(self, signals: TaskSignals) -> FloatVector:
        weights = np.zeros(self.num_tasks)
        if signals.labelled.any():
            weights[signals.labelled] = softmax(signals.losses[signals.labelled] / self.smoothing)
        return weights
