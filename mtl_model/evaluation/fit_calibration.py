"""Labelled predictions -> the map that calibrates them; calibration.py says what the maps are.

Shapes: R = rows, L = labels of a multilabel task.
"""

import logging
from typing import Literal

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit
from sklearn.isotonic import isotonic_regression

from mtl_model.config import TaskConfig
from mtl_model.evaluation.calibration import (
    CalibrationMap,
    IsotonicMap,
    Numbers,
    PlattMap,
    from_line,
    to_line,
)
from mtl_model.evaluation.metrics import MIN_PROBABILITY, Floats, sum_by_prediction

logger = logging.getLogger(__name__)

MIN_EVENTS = 50  # with fewer a map would say more about chance than about the model
MIN_SLOPE = 1e-3
MIN_RISE = 1e-9  # from knot to knot, on the line: what is less is rounding, and another shift may undo it


def fit_task(
    task: TaskConfig, labels: Numbers, predictions: Numbers, weights: Floats
) -> CalibrationMap | None:
    """The map of one task from its labelled rows (R,), or (R, L), with weights (R,).

    None where the task asks for none, or has too few events to learn one from.

    Raises:
        ValueError: if a prediction is not a finite number.
    """
    if task.calibration is None:
        return None
    if labels.ndim == 2:  # one map for all labels
        weights = np.repeat(weights, labels.shape[1])
    labels, predictions = labels.ravel().astype(np.float64), predictions.ravel().astype(np.float64)
    if wrong := int((~np.isfinite(predictions)).sum()):
        raise ValueError(
            f"task {task.name} cannot be calibrated: {wrong} of {len(predictions)} predictions are not "
            "finite numbers; look at the losses in history.jsonl, and train with a smaller learning_rate"
        )
    is_value = task.head == "zero_inflated_lognormal"
    events = int((labels > 0).sum())
    if min(events, len(labels) if is_value else len(labels) - events) < MIN_EVENTS:
        logger.warning("task %s is not calibrated: %d events in %d rows", task.name, events, len(labels))
        return None
    if task.calibration == "platt":
        return fit_platt(labels, predictions, weights)
    return fit_isotonic(labels, predictions, weights, "log" if is_value else "logit")


def fit_platt(labels: Floats, probabilities: Floats, weights: Floats) -> PlattMap:
    """The line of logits with the least log loss."""
    on_line = to_line(probabilities, "logit")
    total, positives = weights.sum(), np.sum(weights * labels)
    targets = np.where(labels > 0, (positives + 1) / (positives + 2), 1 / (total - positives + 2))
    shares = weights / total

    def loss(parameters: Floats) -> tuple[float, Floats]:
        logits = parameters[0] * on_line + parameters[1]
        errors = shares * (expit(logits) - targets)
        value = np.sum(shares * (np.logaddexp(0, logits) - targets * logits))
        return float(value), np.array([np.sum(errors * on_line), np.sum(errors)])

    bounds = [(MIN_SLOPE, None), (None, None)]
    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-12)
    return PlattMap(method="platt", slope=float(found.x[0]), intercept=float(found.x[1]))


def fit_isotonic(
    labels: Floats, predictions: Floats, weights: Floats, line: Literal["logit", "log"]
) -> IsotonicMap:
    """Knots at the blocks of pooled adjacent violators; one without an event joins its neighbour.

    Straight lines between blocks bend the mean a little: one shift of all knots makes it that of the labels.
    """
    sums = sum_by_prediction(labels, predictions, weights)
    means = isotonic_regression(sums.labels / sums.weights, sample_weight=sums.weights)
    starts = np.flatnonzero(np.r_[True, np.diff(means) > 0])
    mass = np.add.reduceat(sums.weights, starts)
    events = np.add.reduceat(sums.labels, starts)
    on_line = to_line(sums.predictions / sums.weights, line)
    centres = np.add.reduceat(sums.weights * on_line, starts)
    if events[0] <= 0:
        mass, events, centres = (_join_first(column) for column in (mass, events, centres))
    if line == "logit" and events[-1] >= mass[-1] * (1 - MIN_PROBABILITY):
        mass, events, centres = (_join_first(column[::-1])[::-1] for column in (mass, events, centres))
    inputs, outputs = _rising(centres / mass), _rising(to_line(events / mass, line))
    knots = np.flatnonzero(np.r_[True, (np.diff(inputs) > MIN_RISE) & (np.diff(outputs) > MIN_RISE)])
    inputs, outputs = inputs[knots], outputs[knots]
    fitted = on_line + np.interp(on_line, inputs, outputs - inputs)
    outputs = outputs + _find_shift(fitted, sums.labels.sum() / sums.weights.sum(), sums.weights, line)
    return IsotonicMap(method="isotonic", line=line, inputs=tuple(inputs), outputs=tuple(outputs))


def _find_shift(on_line: Floats, mean: float, weights: Floats, line: Literal["logit", "log"]) -> float:
    """What to add on the line so that the rows have this mean.

    It lies between what puts all rows below the mean and what puts all above, with one to spare on either
    side for rounding: of a model that is much too sure of itself it is large.
    """
    target = float(np.log(mean) if line == "log" else logit(mean))

    def excess(shift: float) -> float:
        return float(np.average(from_line(on_line + shift, line), weights=weights)) - mean

    return float(brentq(excess, target - on_line.max() - 1, target - on_line.min() + 1))


def _rising(column: Floats) -> Floats:
    """Means that rise but for their rounding, each no less than the one before."""
    risen: Floats = np.maximum.accumulate(column)
    return risen


def _join_first(column: Floats) -> Floats:
    """The first two joined; a single one stays."""
    joined: Floats = np.r_[column[:2].sum(), column[2:]]
    return joined
