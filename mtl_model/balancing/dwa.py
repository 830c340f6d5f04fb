"""Dynamic Weight Average (Liu, Johns and Davison, CVPR 2019, arxiv.org/abs/1803.10704).

weight_t = T softmax_t(r / temperature),  r_t = mean L_t of the last window / mean L_t of the one before it

A task that descends slowly gains weight. The paper's windows are epochs; here they are `window_steps` steps,
as a training may have one epoch only. Until a task has two windows with labelled rows, its r is 1.

Shapes: T = tasks.
"""

import numpy as np

from mtl_model.balancing.balancer import Balancer, FloatVector, TaskSignals, softmax


class DWA(Balancer):
    reads_losses = True

    def __init__(self, num_tasks: int, temperature: float, window_steps: int) -> None:
        super().__init__(num_tasks)
        self.temperature, self.window_steps = temperature, window_steps
        names = ("loss_sums", "labelled_steps", "last_means", "earlier_means")
        self.state = {name: np.zeros(num_tasks) for name in names} | {"window": np.zeros(1)}

    def weigh(self, signals: TaskSignals) -> FloatVector:
        last, earlier = self.state["last_means"], self.state["earlier_means"]
        ratios = np.divide(last, earlier, out=np.ones(self.num_tasks), where=earlier > 0)
        self._remember(signals)
        return self.num_tasks * softmax(ratios / self.temperature)

    def _remember(self, signals: TaskSignals) -> None:
        state = self.state
        state["loss_sums"] = state["loss_sums"] + np.where(signals.labelled, signals.losses, 0.0)
        state["labelled_steps"] = state["labelled_steps"] + signals.labelled
        state["window"] = state["window"] + 1
        if state["window"][0] < self.window_steps:
            return
        seen = state["labelled_steps"] > 0
        means = state["loss_sums"] / np.maximum(state["labelled_steps"], 1)
        state["earlier_means"] = np.where(seen, state["last_means"], state["earlier_means"])
        state["last_means"] = np.where(seen, means, state["last_means"])
        for name in ("loss_sums", "labelled_steps", "window"):
            state[name] = np.zeros_like(state[name])
