"""Which metrics a task has, by its head, beside those of the best constant prediction.

Shapes: R = rows, L = labels.
"""

import math
from collections.abc import Callable, Sequence
from typing import NotRequired, TypedDict

import numpy as np

from mtl_model.evaluation import metrics
from mtl_model.evaluation.metrics import Floats
from mtl_model.evaluation.ranking_metrics import Users, top_metrics


class CurvePoint(TypedDict):
    mean_prediction: float
    mean_label: float
    weight: float


class ConstantMetrics(TypedDict):
    """What the mean label would reach as everybody's prediction."""

    prediction: float
    auc: NotRequired[float]
    log_loss: NotRequired[float]
    normalised_gini: NotRequired[float]
    mean_absolute_error: NotRequired[float]
    root_mean_squared_error: NotRequired[float]
    accuracy: NotRequired[float]


class LabelMetrics(TypedDict):
    name: str
    auc: float | None
    mean_label: float
    calibration: float | None


class TaskMetrics(TypedDict):
    """Metrics of one task; None where one has no meaning, such as the AUC of one class.

    `slices`: the same for parts of the rows, by the slice's name.
    """

    rows: int
    positives: NotRequired[int]
    mean_label: NotRequired[float]
    auc: NotRequired[float | None]
    auc_low: NotRequired[float | None]
    auc_high: NotRequired[float | None]
    gauc: NotRequired[float | None]
    pr_auc: NotRequired[float | None]
    f1: NotRequired[float | None]
    recall_at_10: NotRequired[float | None]
    ndcg_at_10: NotRequired[float | None]
    log_loss: NotRequired[float]
    normalised_entropy: NotRequired[float | None]
    calibration: NotRequired[float | None]
    expected_calibration_error: NotRequired[float | None]
    decile_bias: NotRequired[float | None]
    normalised_gini: NotRequired[float | None]
    mean_absolute_error: NotRequired[float]
    root_mean_squared_error: NotRequired[float]
    accuracy: NotRequired[float]
    calibration_curve: NotRequired[list[CurvePoint]]
    per_label: NotRequired[list[LabelMetrics]]
    constant: NotRequired[ConstantMetrics]
    slices: NotRequired[dict[str, "TaskMetrics"]]


def binary_metrics(
    labels: Floats, predictions: Floats, weights: Floats, users: Users, label_names: Sequence[str]
) -> TaskMetrics:
    base_rate = metrics.weighted_mean(labels, weights)
    constant = np.full(len(labels), base_rate)
    positives = int(labels.sum())
    auc = metrics.auc(labels, predictions, weights)
    low, high = metrics.auc_interval(auc, positives, len(labels) - positives)
    top = top_metrics(labels, predictions, users, weights)
    return TaskMetrics(
        rows=len(labels),
        positives=positives,
        mean_label=base_rate,
        auc=_or_none(auc),
        auc_low=_or_none(low),
        auc_high=_or_none(high),
        gauc=_or_none(metrics.gauc(labels, predictions, users, weights)),
        pr_auc=_or_none(metrics.pr_auc(labels, predictions, weights)),
        f1=_or_none(metrics.f1(labels, predictions, weights)),
        recall_at_10=_or_none(top.recall),
        ndcg_at_10=_or_none(top.ndcg),
        log_loss=metrics.log_loss(labels, predictions, weights),
        normalised_entropy=_or_none(metrics.normalised_entropy(labels, predictions, weights)),
        calibration=_or_none(metrics.calibration(labels, predictions, weights)),
        expected_calibration_error=metrics.expected_calibration_error(labels, predictions, weights),
        calibration_curve=_curve(labels, predictions, weights),
        constant=ConstantMetrics(
            prediction=base_rate, auc=0.5, log_loss=metrics.log_loss(labels, constant, weights)
        ),
    )


def value_metrics(
    labels: Floats, predictions: Floats, weights: Floats, users: Users, label_names: Sequence[str]
) -> TaskMetrics:
    mean = metrics.weighted_mean(labels, weights)
    return TaskMetrics(
        rows=len(labels),
        positives=int((labels > 0).sum()),
        mean_label=mean,
        normalised_gini=_or_none(metrics.normalised_gini(labels, predictions, weights)),
        calibration=_or_none(metrics.calibration(labels, predictions, weights)),
        decile_bias=_or_none(metrics.decile_bias(labels, predictions, weights)),
        mean_absolute_error=metrics.weighted_mean(np.abs(labels - predictions), weights),
        root_mean_squared_error=metrics.root_mean_squared_error(labels, predictions, weights),
        calibration_curve=_curve(labels, predictions, weights),
        constant=ConstantMetrics(
            prediction=mean,
            normalised_gini=0.0,
            mean_absolute_error=metrics.weighted_mean(np.abs(labels - mean), weights),
            root_mean_squared_error=metrics.root_mean_squared_error(labels, mean, weights),
        ),
    )


def multilabel_metrics(
    labels: Floats, predictions: Floats, weights: Floats, users: Users, label_names: Sequence[str]
) -> TaskMetrics:
    """Means over the labels; AUC over those labels that have both classes."""
    columns = range(labels.shape[1])
    aucs = [metrics.auc(labels[:, column], predictions[:, column], weights) for column in columns]
    base_rates = np.average(labels, axis=0, weights=weights)
    all_weights = np.repeat(weights, labels.shape[1])
    flat_labels, flat_predictions = labels.ravel(), predictions.ravel()
    loss = metrics.log_loss(flat_labels, flat_predictions, all_weights)
    constant_loss = metrics.log_loss(flat_labels, np.tile(base_rates, len(labels)), all_weights)
    known = [auc for auc in aucs if not math.isnan(auc)]
    return TaskMetrics(
        rows=len(labels),
        positives=int(labels.sum()),
        mean_label=float(base_rates.mean()),
        auc=float(np.mean(known)) if known else None,
        log_loss=loss,
        normalised_entropy=loss / constant_loss if constant_loss > metrics.MIN_PROBABILITY else None,
        calibration=_or_none(metrics.calibration(flat_labels, flat_predictions, all_weights)),
        expected_calibration_error=metrics.expected_calibration_error(
            flat_labels, flat_predictions, all_weights
        ),
        calibration_curve=_curve(flat_labels, flat_predictions, all_weights),
        per_label=[
            LabelMetrics(
                name=name,
                auc=_or_none(aucs[column]),
                mean_label=float(base_rates[column]),
                calibration=_or_none(metrics.calibration(labels[:, column], predictions[:, column], weights)),
            )
            for column, name in enumerate(label_names)
        ],
        constant=ConstantMetrics(prediction=float(base_rates.mean()), auc=0.5, log_loss=constant_loss),
    )


def error_metrics(
    labels: Floats, predictions: Floats, weights: Floats, users: Users, label_names: Sequence[str]
) -> TaskMetrics:
    mean = metrics.weighted_mean(labels, weights)
    return TaskMetrics(
        rows=len(labels),
        mean_label=mean,
        mean_absolute_error=metrics.weighted_mean(np.abs(labels - predictions), weights),
        root_mean_squared_error=metrics.root_mean_squared_error(labels, predictions, weights),
        calibration=_or_none(metrics.calibration(labels, predictions, weights)),
        calibration_curve=_curve(labels, predictions, weights),
        constant=ConstantMetrics(
            prediction=mean,
            mean_absolute_error=metrics.weighted_mean(np.abs(labels - mean), weights),
            root_mean_squared_error=metrics.root_mean_squared_error(labels, mean, weights),
        ),
    )


def multiclass_metrics(
    labels: Floats, predictions: Floats, weights: Floats, users: Users, label_names: Sequence[str]
) -> TaskMetrics:
    """`predictions` (R, K); the constant's prediction is the share of the most frequent class."""
    classes = labels.astype(np.int64)
    shares = np.bincount(classes, weights, predictions.shape[1]) / weights.sum()
    of_label = np.take_along_axis(predictions, classes[:, None], axis=1)[:, 0]
    loss = metrics.weighted_mean(-np.log(np.maximum(of_label, metrics.MIN_PROBABILITY)), weights)
    constant_loss = metrics.weighted_mean(-np.log(shares[classes]), weights)
    return TaskMetrics(
        rows=len(labels),
        accuracy=metrics.weighted_mean((predictions.argmax(axis=1) == classes).astype(np.float64), weights),
        log_loss=loss,
        normalised_entropy=loss / constant_loss if constant_loss > metrics.MIN_PROBABILITY else None,
        constant=ConstantMetrics(
            prediction=float(shares.max()), accuracy=float(shares.max()), log_loss=constant_loss
        ),
    )


TASK_METRICS: dict[str, Callable[[Floats, Floats, Floats, Users, Sequence[str]], TaskMetrics]] = {
    "binary": binary_metrics,
    "zero_inflated_lognormal": value_metrics,
    "multilabel": multilabel_metrics,
    "regression": error_metrics,
    "ordinal": error_metrics,
    "multiclass": multiclass_metrics,
}


def _curve(labels: Floats, predictions: Floats, weights: Floats) -> list[CurvePoint]:
    return [
        CurvePoint(mean_prediction=float(point[0]), mean_label=float(point[1]), weight=float(point[2]))
        for point in metrics.calibration_curve(labels, predictions, weights)
    ]


def _or_none(metric: float) -> float | None:
    return None if math.isnan(metric) else metric
