"""How good predictions are; vectorised numpy. All take row weights: 1 / sampling_rate undoes the sampling.

Shapes: R = rows. A metric without a meaning (one class only, nothing sold) is nan.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
MIN_PROBABILITY = 1e-7


class GroupAucs(NamedTuple):
    """AUC and total row weight of each group that has both labels."""

    aucs: Floats
    weights: Floats


def auc(labels: Floats, predictions: Floats, weights: Floats) -> float:
    """The probability that a positive is ranked above a negative; a tie counts half."""
    aucs = group_aucs(labels, predictions, np.zeros(len(labels), dtype=np.int64), weights).aucs
    return float(aucs[0]) if len(aucs) else float("nan")


def auc_interval(auc: float, positive_count: int, negative_count: int) -> tuple[float, float]:
    """The 95% confidence interval of an AUC measured on so many rows, within 0 to 1; NaN where it is NaN.

    Its standard error is that of Hanley and McNeil (1982, doi.org/10.1148/radiology.143.1.7063747):
    SE^2 = (A (1 - A) + (P - 1) (Q1 - A^2) + (N - 1) (Q2 - A^2)) / (P N) with Q1 = A / (2 - A) and
    Q2 = 2 A^2 / (1 + A).
    """
    if not positive_count or not negative_count:
        return float("nan"), float("nan")
    of_positives = (positive_count - 1) * (auc / (2 - auc) - auc**2)
    of_negatives = (negative_count - 1) * (2 * auc**2 / (1 + auc) - auc**2)
    variance = (auc * (1 - auc) + of_positives + of_negatives) / (positive_count * negative_count)
    margin = 1.96 * math.sqrt(max(variance, 0.0))
    return max(auc - margin, 0.0), min(auc + margin, 1.0)


def gauc(labels: Floats, predictions: Floats, users: npt.NDArray[np.int64], weights: Floats) -> float:
    """The mean of the users' own AUCs, weighted by their rows; users with one label only are left out.

    Zhu et al., KDD 2017, doi.org/10.1145/3097983.3098134.
    """
    groups = group_aucs(labels, predictions, users, weights)
    return float(np.average(groups.aucs, weights=groups.weights)) if len(groups.aucs) else float("nan")


def group_aucs(
    labels: Floats, predictions: Floats, groups: npt.NDArray[np.int64], weights: Floats
) -> GroupAucs:
    """AUC of every group at once; `groups` (R,) are codes from 0 on."""
    if not len(labels):
        return GroupAucs(np.empty(0), np.empty(0))
    order = np.lexsort((predictions, groups))
    labels, predictions, groups, weights = labels[order], predictions[order], groups[order], weights[order]
    tie_ends = (np.diff(groups) != 0) | (np.diff(predictions) != 0)
    starts = np.flatnonzero(np.r_[True, tie_ends])
    positives = np.add.reduceat(weights * labels, starts)
    negatives = np.add.reduceat(weights * (1 - labels), starts)
    block_groups = groups[starts]
    num_groups = int(groups[-1]) + 1
    group_positives = np.bincount(block_groups, positives, num_groups)
    group_negatives = np.bincount(block_groups, negatives, num_groups)
    in_lower_groups = np.cumsum(group_negatives) - group_negatives
    negatives_below: Floats = np.cumsum(negatives) - negatives - in_lower_groups[block_groups]
    won = np.bincount(block_groups, positives * (negatives_below + negatives / 2), num_groups)
    valid = (group_positives > 0) & (group_negatives > 0)
    aucs = won[valid] / (group_positives[valid] * group_negatives[valid])
    return GroupAucs(aucs, np.add(group_positives, group_negatives, dtype=np.float64)[valid])


def log_loss(labels: Floats, predictions: Floats, weights: Floats) -> float:
    probabilities = np.clip(predictions, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    losses = -(labels * np.log(probabilities) + (1 - labels) * np.log1p(-probabilities))
    return weighted_mean(losses, weights)


def normalised_entropy(labels: Floats, predictions: Floats, weights: Floats) -> float:
    """Log loss divided by that of the base rate: below 1 is better than a constant.

    He et al., ADKDD 2014, doi.org/10.1145/2648584.2648589.
    """
    base_rate = weighted_mean(labels, weights)
    if not 0 < base_rate < 1:
        return float("nan")
    return log_loss(labels, predictions, weights) / log_loss(labels, np.full(len(labels), base_rate), weights)


def calibration(labels: Floats, predictions: Floats, weights: Floats) -> float:
    """Sum of predictions / sum of labels; 1 is perfect."""
    total = float(np.sum(weights * labels))
    return float(np.sum(weights * predictions)) / total if total > 0 else float("nan")


def normalised_gini(values: Floats, predictions: Floats, weights: Floats) -> float:
    """How well the predictions rank the value: 1 like the values themselves, 0 like chance."""
    best = _gini(values, values, weights)
    return _gini(values, predictions, weights) / best if best > 0 else float("nan")


def _gini(values: Floats, scores: Floats, weights: Floats) -> float:
    """Twice the area between the diagonal and the curve of value won from the top; ties are straight."""
    total = float(np.sum(weights * values))
    if total <= 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    rows = np.r_[0.0, np.cumsum(np.add.reduceat(weights[order], starts))] / np.sum(weights)
    value = np.r_[0.0, np.cumsum(np.add.reduceat((weights * values)[order], starts))] / total
    return float(2 * np.trapezoid(value, rows) - 1)


def calibration_curve(
    labels: Floats, predictions: Floats, weights: Floats, num_bins: int = 10
) -> list[Floats]:
    """(mean prediction, mean label, weight) per bin of equal weight, from the lowest prediction up."""
    if not len(labels):
        return []
    rows = sum_by_prediction(labels, predictions, weights)
    middles = np.cumsum(rows.weights) - rows.weights / 2
    bins = np.minimum((middles / np.sum(weights) * num_bins).astype(np.int64), num_bins - 1)
    mass = np.bincount(bins, rows.weights, num_bins)
    sums = [np.bincount(bins, column, num_bins) for column in (rows.predictions, rows.labels)]
    return [
        np.array([sums[0][row], sums[1][row], mass[row] ** 2]) / mass[row] for row in np.flatnonzero(mass)
    ]


def expected_calibration_error(labels: Floats, predictions: Floats, weights: Floats) -> float:
    """The mean distance between mean prediction and mean label, over ten bins of equal weight.

    Bins of equal weight, not of equal width: most probabilities of rare events would be in one bin
    (Nixon et al., 2019, arxiv.org/abs/1904.01685).
    """
    curve = np.array(calibration_curve(labels, predictions, weights))
    return weighted_mean(np.abs(curve[:, 0] - curve[:, 1]), curve[:, 2]) if len(curve) else float("nan")


def decile_bias(values: Floats, predictions: Floats, weights: Floats) -> float:
    """The same for values, divided by the mean value: by how much a tenth is wrong, as a share of the mean.

    The paper (Wang, Liu and Miao, 2019, arxiv.org/abs/1912.07753) divides by each tenth's own mean, which may
    be 0 where most values are.
    """
    mean = weighted_mean(values, weights)
    return expected_calibration_error(values, predictions, weights) / mean if mean > 0 else float("nan")


def pr_auc(labels: Floats, predictions: Floats, weights: Floats) -> float:
    """Average precision: sum over thresholds of (recall - recall before) x precision."""
    true_positives, predicted_positives = _count_positives(labels, predictions, weights)
    if not len(true_positives) or true_positives[-1] <= 0:
        return float("nan")
    gained = np.diff(true_positives, prepend=0.0)
    return float(np.sum(gained * true_positives / predicted_positives) / true_positives[-1])


def f1(labels: Floats, predictions: Floats, weights: Floats) -> float:
    """2 TP / (2 TP + FP + FN) at the threshold where it is greatest: half is no threshold for rare events."""
    true_positives, predicted_positives = _count_positives(labels, predictions, weights)
    if not len(true_positives) or true_positives[-1] <= 0:
        return float("nan")
    return float(np.max(2 * true_positives / (predicted_positives + true_positives[-1])))


class PredictionSums(NamedTuple):
    """Sums over the rows of each distinct prediction, from the lowest up."""

    weights: Floats
    labels: Floats
    predictions: Floats


def sum_by_prediction(labels: Floats, predictions: Floats, weights: Floats) -> PredictionSums:
    """Rows of one prediction stay together, so that nothing depends on the order of the rows."""
    order = np.argsort(predictions, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(predictions[order]) != 0])
    columns = weights, weights * labels, weights * predictions
    return PredictionSums(*(np.add.reduceat(column[order], starts) for column in columns))


def _count_positives(labels: Floats, predictions: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """(true positives, predicted positives) at each threshold, from the highest prediction down."""
    if not len(labels):
        return np.empty(0), np.empty(0)
    rows = sum_by_prediction(labels, predictions, weights)
    return np.cumsum(rows.labels[::-1]), np.cumsum(rows.weights[::-1])


def root_mean_squared_error(values: Floats, predictions: Floats | float, weights: Floats) -> float:
    return math.sqrt(weighted_mean((values - predictions) ** 2, weights))


def weighted_mean(values: Floats, weights: Floats) -> float:
    return float(np.average(values, weights=weights)) if len(values) else float("nan")
