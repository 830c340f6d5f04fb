"""Fast Adaptive Multitask Optimization (Liu et al., NeurIPS 2023, arxiv.org/abs/2306.03792).

The model sees  c sum_t p_t log L_t,  p = softmax(xi),  c = 1 / sum_t (p_t / L_t):  weight_t = c p_t / L_t.
After the model's step, with L' the losses of the same rows:

    d_t = log L_t - log L'_t;   gradient of xi = J^T d + weight_decay xi,   J = diag(p) - p p^T

Adam then goes down: what improved more than the others loses weight. The second look at the rows costs a
forward pass. Only tasks with labelled rows take part in a step.

Shapes: T = tasks.
"""

import numpy as np

from mtl_model.balancing.adam import adam_change, adam_state
from mtl_model.balancing.balancer import Balancer, FloatVector, TaskSignals, softmax


class FAMO(Balancer):
    reads_losses = True
    reads_losses_after = True

    def __init__(self, num_tasks: int, learning_rate: float, weight_decay: float) -> None:
        super().__init__(num_tasks)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.state = {"preferences": np.zeros(num_tasks)} | adam_state(num_tasks)
        self.labelled = np.zeros(num_tasks, dtype=bool)  # of the step under way, as are the losses
        self.losses = np.ones(num_tasks)

    def weigh(self, signals: TaskSignals) -> FloatVector:
        self.labelled, self.losses = signals.labelled, signals.losses
        weights = self._probabilities() / signals.losses
        weights /= max(weights.sum(), np.finfo(np.float64).tiny)
        return weights

    def observe_losses_after(self, losses: FloatVector) -> None:
        descents = np.where(self.labelled, np.log(self.losses) - np.log(losses), 0.0)
        probabilities = self._probabilities()
        gradient = probabilities * (descents - probabilities @ descents)
        gradient = gradient + self.weight_decay * self.state["preferences"]
        self.state["preferences"] = self.state["preferences"] + adam_change(
            self.state, gradient, self.learning_rate, self.labelled
        )

    def _probabilities(self) -> FloatVector:
        probabilities = np.zeros(self.num_tasks)
        if self.labelled.any():
            probabilities[self.labelled] = softmax(self.state["preferences"][self.labelled])
        return probabilities
