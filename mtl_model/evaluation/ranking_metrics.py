"""How good the first k of each user's list are, judged on sampled lists.

A row of weight w stands for w rows of the full list, so a row's rank is one more than the weights of the rows
above it. Ties count against the model: among equal predictions negatives come first.

Shapes: R = rows.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mtl_model.evaluation.metrics import Floats

Users = npt.NDArray[np.int64]
TOP = 10


class TopMetrics(NamedTuple):
    """Means over the users with a positive; nan without one."""

    recall: float
    ndcg: float


def top_metrics(
    labels: Floats, predictions: Floats, users: Users, weights: Floats, k: int = TOP
) -> TopMetrics:
    """recall@k: share of positives with rank <= k. NDCG@k: sum of 1 / log2(1 + rank) over the best one."""
    if not (labels > 0).any():
        return TopMetrics(float("nan"), float("nan"))
    order = np.lexsort((weights, labels, -predictions, users))
    of_positives = labels[order] > 0
    ranks = _ranks(users[order], weights[order])[of_positives]
    users, weights = users[order][of_positives], weights[order][of_positives]
    codes = np.unique(users, return_inverse=True)[1]

    found = np.bincount(codes, weights * (ranks <= k))
    gains = np.bincount(codes, weights * _discounts(ranks, k))
    best = np.bincount(codes, weights * _discounts(_ranks(users, weights), k))
    return TopMetrics(float(np.mean(found / np.bincount(codes, weights))), float(np.mean(gains / best)))


def _ranks(users: Users, weights: Floats) -> Floats:
    """Ranks (R,) within each user's rows, which stand together."""
    above = np.cumsum(weights) - weights
    starts = np.r_[True, np.diff(users) != 0]
    ranks: Floats = above - above[starts][np.cumsum(starts) - 1] + 1
    return ranks


def _discounts(ranks: Floats, k: int) -> Floats:
    discounts: Floats = np.where(ranks <= k, 1 / np.log2(1 + ranks), 0.0)
    return discounts
