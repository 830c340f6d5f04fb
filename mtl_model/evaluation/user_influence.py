"""A metric as a sum over users: what each user adds to it, so that users can be resampled without the rows.

To first order a metric M of a sample with user u in it m_u times is M + sum_u (m_u - 1) I_u, with I_u the
derivative of M by m_u: the delta method for clustered ROC curves (Obuchowski, 1997, doi.org/10.2307/2533958),
whose sums over u of a difference of two models are the paired bootstrap. Users are kept apart by a hash into
`NUM_GROUPS` groups, resampled whole, so that the memory does not grow with them.

Shapes: R = rows, L = labels of a multilabel task, G = groups of users.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mtl_model.config import HeadName
from mtl_model.evaluation.evaluate import Judged
from mtl_model.evaluation.metrics import MIN_PROBABILITY, Floats, weighted_mean

NUM_GROUPS = 4_096

Groups = npt.NDArray[np.int64]


class Measured(NamedTuple):
    """One metric of one task: its value and what each group of users adds to it, (G,), in all 0."""

    metric: str
    value: float
    influence: Floats


LESS_IS_BETTER = frozenset({"root_mean_squared_error", "log_loss"})


def measure_by_user(judged: Judged, head: HeadName) -> Measured | None:
    """The metric that tells models of this head apart; None where it has no meaning, as with one class only.

    AUC (mean over the labels of a multilabel task), normalised Gini, root mean squared error or log loss.
    """
    groups = group_users(judged.users)
    labels, predictions = judged.labels.astype(np.float64), judged.predictions.astype(np.float64)
    if head in {"binary", "multilabel"}:
        return _auc(labels.reshape(len(labels), -1), predictions, judged.weights, groups)
    if head == "zero_inflated_lognormal":
        return _normalised_gini(labels, predictions, judged.weights, groups)
    if head == "multiclass":
        of_label = np.take_along_axis(predictions, labels.astype(np.int64)[:, None], axis=1)[:, 0]
        losses = -np.log(np.maximum(of_label, MIN_PROBABILITY))
        return Measured("log_loss", *_mean(losses, judged.weights, groups))
    mean, influence = _mean((labels - predictions) ** 2, judged.weights, groups)
    root = max(float(np.sqrt(mean)), MIN_PROBABILITY)
    return Measured("root_mean_squared_error", root, influence / (2 * root))


def group_users(users: pa.Array) -> Groups:
    """The group (R,) of each row's user, the same in every run."""
    encoded = users.dictionary_encode()
    hashes = pd.util.hash_array(np.asarray(encoded.dictionary.to_pandas(), dtype=object), categorize=False)
    groups = (hashes % NUM_GROUPS).astype(np.int64)
    return np.asarray(groups[encoded.indices.to_numpy()])


def concordance(gains: Floats, weights: Floats, scores: Floats, groups: Groups) -> tuple[float, Floats]:
    """A = sum_ij a_i b_j ([s_i > s_j] + [s_i = s_j] / 2) / (sum a sum b) and its influence (G,).

    With gains a = w y and weights b = w (1 - y) it is the AUC; with b = w, Gini is 2 A - 1.
    """
    order = np.argsort(scores, kind="stable")
    blocks = np.cumsum(np.r_[False, np.diff(scores[order]) != 0])  # equal scores
    gains, weights, groups = gains[order], weights[order], groups[order]
    of_block = np.bincount(blocks, weights)
    below = (np.cumsum(of_block) - of_block / 2)[blocks]
    of_block = np.bincount(blocks, gains)
    above = gains.sum() - (np.cumsum(of_block) - of_block / 2)[blocks]
    won = gains * below
    pairs = gains.sum() * weights.sum()
    value = won.sum() / pairs
    rows = (won + weights * above) / pairs - value * (gains / gains.sum() + weights / weights.sum())
    influence: Floats = np.bincount(groups, rows, NUM_GROUPS).astype(np.float64)
    return float(value), influence


def _auc(labels: Floats, predictions: Floats, weights: Floats, groups: Groups) -> Measured | None:
    """Takes labels and predictions (R, L); binary tasks have one label."""
    predictions = predictions.reshape(labels.shape)
    both = np.flatnonzero((labels > 0).any(axis=0) & (labels < 1).any(axis=0))
    if not len(both):
        return None
    value, influence = 0.0, np.zeros(NUM_GROUPS)
    for label in both:
        gains = weights * labels[:, label]
        of_label = concordance(gains, weights - gains, predictions[:, label], groups)
        value, influence = value + of_label[0] / len(both), influence + of_label[1] / len(both)
    return Measured("auc", value, influence)


def _normalised_gini(values: Floats, predictions: Floats, weights: Floats, groups: Groups) -> Measured | None:
    gains = weights * values
    if len(np.unique(values)) < 2:
        return None
    value, influence = concordance(gains, weights, predictions, groups)
    best, best_influence = concordance(gains, weights, values, groups)
    gini = (2 * value - 1) / (2 * best - 1)
    return Measured("normalised_gini", gini, 2 * (influence - gini * best_influence) / (2 * best - 1))


def _mean(losses: Floats, weights: Floats, groups: Groups) -> tuple[float, Floats]:
    mean = weighted_mean(losses, weights)
    return mean, np.bincount(groups, weights * (losses - mean), NUM_GROUPS) / weights.sum()
