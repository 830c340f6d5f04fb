"""Deep CORAL, correlation alignment (Sun and Saenko, ECCV 2016 workshops, arxiv.org/abs/1607.01719).

CORAL = |C_S - C_T|_F^2 / (4 D^2)     C_S, C_T: the covariances (D, D) of source and target rows

Shapes: S = source rows, R = target rows, D = dim.
"""

import torch
from torch import Tensor


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Maps (S, D) and (R, D), at least two rows each, to the distance of their covariances."""
    difference = _covariance(source) - _covariance(target)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def _covariance(rows: Tensor) -> Tensor:
    centred = rows - rows.mean(dim=0)
    return torch.matmul(centred.T, centred) / (len(rows) - 1)
