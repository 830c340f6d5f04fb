"""Fixed weights: the sum of the losses, each with the `loss_weight` of its task.

The bar for all others: tuned, it matches them (Kurin et al., NeurIPS 2022, arxiv.org/abs/2201.04122).
"""

import numpy as np

from mtl_model.balancing.balancer import Balancer, FloatVector, TaskSignals


class Fixed(Balancer):
    def weigh(self, signals: TaskSignals) -> FloatVector:
        return np.ones(self.num_tasks)
