"""Adam (Kingma and Ba, ICLR 2015, arxiv.org/abs/1412.6980) for one number per task.

m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  change = -lr m / (1 - b1^n) / (sqrt(v / (1 - b2^n)) + eps)

A task that is not updated keeps its m, v and n. torch's Adam knows no such mask, and its state would need a
second way into the checkpoint.

Shapes: T = tasks.
"""

import numpy as np
import numpy.typing as npt

from mtl_model.balancing.balancer import FloatVector

MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-8


def adam_state(num_tasks: int) -> dict[str, FloatVector]:
    return {name: np.zeros(num_tasks) for name in ("adam_mean", "adam_square", "adam_steps")}


def adam_change(
    state: dict[str, FloatVector], gradient: FloatVector, learning_rate: float, updated: npt.NDArray[np.bool_]
) -> FloatVector:
    """Updates `state` and returns what to add to the numbers (T,): 0 where not `updated`."""
    gradient = np.where(updated, gradient, 0.0)
    for name, decay, value in (
        ("adam_mean", MEAN_DECAY, gradient),
        ("adam_square", SQUARE_DECAY, gradient**2),
    ):
        state[name] = np.where(updated, decay * state[name] + (1 - decay) * value, state[name])
    state["adam_steps"] = state["adam_steps"] + updated
    steps = np.maximum(state["adam_steps"], 1)
    mean = state["adam_mean"] / (1 - MEAN_DECAY**steps)
    square = state["adam_square"] / (1 - SQUARE_DECAY**steps)
    return np.where(updated, -learning_rate * mean / (np.sqrt(square) + EPSILON), 0.0)
