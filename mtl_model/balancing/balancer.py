"""What every balancing method is: task signals -> task weights, the same on every rank.

Shapes: T = tasks.
"""

from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

FloatVector = npt.NDArray[np.float64]
FloatMatrix = npt.NDArray[np.float64]


class TaskSignals(NamedTuple):
    """What is known of one step over all ranks; nan where the balancer does not read it.

    labelled: (T,), whether the task has a labelled row in this step. losses: (T,), loss_weight times the mean
    loss's excess over the least that any model could reach, > 0 (1.0 for a task without a labelled row).
    gram: (T, T), inner products of the gradients of the weighted losses by the shared representation.
    """

    step: int
    labelled: npt.NDArray[np.bool_]
    losses: FloatVector
    gram: FloatMatrix


class Balancer:
    """Weighs tasks; `state`, vectors by name, is all that it carries from step to step."""

    reads_losses: ClassVar[bool] = False
    reads_losses_after: ClassVar[bool] = False
    reads_gradients: ClassVar[bool] = False
    weighs_towers: ClassVar[bool] = True

    def __init__(self, num_tasks: int) -> None:
        self.num_tasks = num_tasks
        self.state: dict[str, FloatVector] = {}

    def weigh(self, signals: TaskSignals) -> FloatVector:
        """The factors (T,) of the weighted losses in this step; then learns from the step."""
        raise NotImplementedError

    def observe_losses_after(self, losses: FloatVector) -> None:
        """Learns from the losses (T,) of the same rows after the optimizer's step."""


def softmax(values: FloatVector) -> FloatVector:
    exponentials: FloatVector = np.exp(values - values.max())
    exponentials /= exponentials.sum()
    return exponentials
