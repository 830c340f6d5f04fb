from collections.abc import Sequence

import numpy as np

from mtl_model.balancing.balancer import FloatMatrix, TaskSignals


def make_signals(
    losses: Sequence[float], labelled: Sequence[bool] | None = None, gram: FloatMatrix | None = None
) -> TaskSignals:
    num_tasks = len(losses)
    return TaskSignals(
        step=1,
        labelled=np.ones(num_tasks, dtype=bool) if labelled is None else np.array(labelled),
        losses=np.array(losses, dtype=np.float64),
        gram=np.full((num_tasks, num_tasks), np.nan) if gram is None else gram,
    )
