from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from mtl_model.config import TaskConfig
from mtl_model.evaluation import metrics
from mtl_model.evaluation.calibration import (
    CalibrationMap,
    IsotonicMap,
    PlattMap,
    calibrate,
    from_line,
    read_calibration,
    to_line,
    write_calibration,
)
from mtl_model.evaluation.fit_calibration import fit_isotonic, fit_platt, fit_task
from mtl_model.evaluation.metrics import Floats

Rows = tuple[Floats, Floats, Floats]


def task(**changes: Any) -> TaskConfig:
    plain = {"name": "click", "head": "binary", "label": "label_click", "loss_weight": 1.0}
    return TaskConfig.model_validate(plain | changes)


def sample(seed: int, bend: Callable[[Floats], Floats], num_rows: int = 40_000) -> Rows:
    """Labels, probabilities that are wrong by `bend` on the line of logits, and weights."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-2.0, 1.5, num_rows)
    labels = (rng.random(num_rows) < expit(logits)).astype(np.float64)
    return labels, expit(bend(logits)), rng.choice([1.0, 10.0], num_rows)


def too_sure(logits: Floats) -> Floats:
    return 2 * logits + 1


def crooked(logits: Floats) -> Floats:
    return np.where(logits > -2, 3 * logits + 4, logits)


@pytest.mark.parametrize("bend", [too_sure, crooked])
@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_probabilities_mean_what_they_say_on_rows_that_did_not_fit_the_map(
    method: str, bend: Callable[[Floats], Floats]
) -> None:
    fitted = fit_task(task(calibration=method), *sample(1, bend))
    labels, probabilities, weights = sample(2, bend)
    assert fitted is not None

    calibrated = fitted.apply(probabilities).astype(np.float64)

    before = metrics.expected_calibration_error(labels, probabilities, weights)
    after = metrics.expected_calibration_error(labels, calibrated, weights)
    assert metrics.calibration(labels, calibrated, weights) == pytest.approx(1.0, abs=0.03)
    right_form = method == "isotonic" or bend is too_sure
    assert after < (0.25 * before if right_form else before)
    assert metrics.auc(labels, calibrated, weights) == pytest.approx(
        metrics.auc(labels, probabilities, weights), abs=1e-5
    )


def test_platt_is_the_logistic_regression_of_the_logits() -> None:
    labels, probabilities, weights = sample(3, too_sure)
    regression = LogisticRegression(C=np.inf).fit(logit(probabilities)[:, None], labels, weights)

    fitted = fit_platt(labels, probabilities, weights)

    assert (fitted.slope, fitted.intercept) == pytest.approx(
        (regression.coef_[0, 0], regression.intercept_[0]), abs=2e-3
    )


def test_platt_does_not_turn_the_order_round_where_the_model_has_it_upside_down() -> None:
    labels, probabilities, weights = sample(4, lambda logits: -logits)

    fitted = fit_platt(labels, probabilities, weights)

    assert fitted.slope > 0
    mean = metrics.weighted_mean(fitted.apply(probabilities).astype(np.float64), weights)
    assert mean == pytest.approx(metrics.weighted_mean(labels, weights), abs=1e-3)


def test_isotonic_has_the_pooled_blocks_of_scikit_learn_as_its_knots() -> None:
    labels, probabilities, weights = sample(5, crooked)
    regression = IsotonicRegression().fit(probabilities, labels, sample_weight=weights)

    fitted = fit_isotonic(labels, probabilities, weights, "logit")

    levels = np.unique(regression.predict(probabilities))
    inner = np.array(expit(fitted.outputs))[1:-1]  # the outer ones may be joined
    nearest = levels[np.abs(levels[:, None] - inner).argmin(axis=0)]
    assert len(inner) > 5
    shifts = logit(inner) - logit(nearest)
    np.testing.assert_allclose(shifts, shifts[0], atol=1e-6)  # one shift of all, for the mean
    mapped = fitted.apply(probabilities).astype(np.float64)
    assert metrics.calibration(labels, mapped, weights) == pytest.approx(1.0, abs=1e-5)


HUNDREDTHS = st.integers(1, 99)


@given(
    rows=st.lists(st.tuples(st.sampled_from([0.0, 1.0]), HUNDREDTHS), min_size=1, max_size=40),
    event=HUNDREDTHS,
    none=HUNDREDTHS,
    line=st.sampled_from(["logit", "log"]),
)
def test_no_map_ties_or_turns_two_rows(
    rows: list[tuple[float, int]], event: int, none: int, line: Any
) -> None:
    labels, hundredths = zip((1.0, event), *rows, (0.0, none), strict=True)
    values, predictions = np.array(labels), np.array(hundredths) / 100

    fitted = fit_isotonic(values, predictions, np.ones(len(values)), line)

    grid = np.linspace(0.01, 0.99, 50)
    assert (np.diff(fitted.apply(grid).astype(np.float64)) > 0).all()


def sure_of_itself(seed: int) -> Rows:
    """Scores ten times as far out as the labels say, and negatives of which one in twenty was kept."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.0, 1.5, 1000)
    labels = (rng.random(1000) < expit(logits)).astype(np.float64)
    return labels, expit(10 * logits), np.where(labels > 0, 1.0, 20.0)


def test_scores_that_are_much_too_sure_can_be_calibrated() -> None:
    for seed in range(400):
        labels, probabilities, weights = sure_of_itself(seed)

        mapped = fit_isotonic(labels, probabilities, weights, "logit").apply(probabilities)

        assert metrics.calibration(labels, mapped.astype(np.float64), weights) == pytest.approx(1, abs=1e-5)


def _spread(line: str) -> st.SearchStrategy[float]:
    """Predictions at, near and far from each other and from the ends of the line."""
    ends = [0.0, 1e-12, 1e-7, 0.5, 0.5 + 1e-12, 1 - 1e-7, 1.0] if line == "logit" else [0.0, 1e-12, 1.0, 1e9]
    return st.sampled_from(ends) | st.floats(0.0, ends[-1])


@st.composite
def extreme_rows(draw: st.DrawFn, line: Any) -> Rows:
    value = st.sampled_from([0.0, 1.0] if line == "logit" else [0.0, 0.01, 1.0, 1e9])
    weight = st.sampled_from([1.0, 1.0 + 1e-9, 20.0, 1e6])
    rows = draw(st.lists(st.tuples(value, _spread(line), weight), min_size=1, max_size=30))
    rows += [(1.0, draw(_spread(line)), draw(weight)), (0.0, draw(_spread(line)), draw(weight))]
    labels, predictions, weights = np.array(rows).T
    return labels, predictions, weights


@pytest.mark.parametrize("line", ["logit", "log"])
@settings(deadline=None)
@given(data=st.data())
def test_whatever_the_scores_and_weights_the_mean_becomes_that_of_the_labels(
    line: Any, data: st.DataObject
) -> None:
    labels, predictions, weights = data.draw(extreme_rows(line))

    fitted = fit_isotonic(labels, predictions, weights, line)

    on_line = to_line(predictions, line)
    mapped = from_line(
        on_line + np.interp(on_line, fitted.inputs, np.subtract(fitted.outputs, fitted.inputs)), line
    )
    assert metrics.calibration(labels, mapped, weights) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_constant_scores_become_the_base_rate(method: str, score: float) -> None:
    labels, _, weights = sure_of_itself(1)

    fitted = fit_task(task(calibration=method), labels, np.full(1000, score), weights)

    assert fitted is not None
    base_rate = metrics.weighted_mean(labels, weights)
    assert fitted.apply(np.array([score]))[0] == pytest.approx(base_rate, rel=0.05)


@pytest.mark.parametrize("labels", [[], [0.0] * 200, [1.0] * 200], ids=["no rows", "no event", "events only"])
@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_where_there_is_nothing_to_fit_a_task_stays_as_it_is(
    method: str, labels: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    scores = np.linspace(0, 1, len(labels))

    assert fit_task(task(calibration=method), np.array(labels), scores, np.ones(len(labels))) is None
    assert "task click is not calibrated" in caplog.text


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_score_that_is_no_number_is_refused_by_name(method: str, score: float) -> None:
    labels, probabilities, weights = sure_of_itself(2)
    probabilities[:3] = score

    with pytest.raises(ValueError, match="task click cannot be calibrated: 3 of 1000 predictions"):
        fit_task(task(calibration=method), labels, probabilities, weights)


def test_values_are_mapped_by_their_logarithm() -> None:
    rng = np.random.default_rng(6)
    predictions = rng.lognormal(1.0, 1.0, 20_000)
    values = np.where(rng.random(20_000) < 0.3, 2 * predictions / 0.3, 0.0)  # twice what was predicted
    spend = task(head="zero_inflated_lognormal", calibration="isotonic")

    fitted = fit_task(spend, values, predictions, np.ones(20_000))

    assert fitted is not None
    middle = (predictions > 1) & (predictions < 8)
    np.testing.assert_allclose(fitted.apply(predictions)[middle], 2 * predictions[middle], rtol=0.25)
    mapped = fitted.apply(predictions).astype(np.float64)
    assert metrics.calibration(values, mapped, np.ones(20_000)) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("events", "rows", "is_enough"),
    [(49, 1000, False), (50, 1000, True), (951, 1000, False), (950, 1000, True)],
)
def test_a_map_needs_fifty_rows_of_each_kind(events: int, rows: int, is_enough: bool) -> None:
    labels = (np.arange(rows) < events).astype(np.float64)

    fitted = fit_task(task(calibration="platt"), labels, np.linspace(0.9, 0.1, rows), np.ones(rows))

    assert (fitted is not None) == is_enough


def test_all_labels_of_a_multilabel_task_share_one_map() -> None:
    labels, probabilities, weights = sample(7, too_sure)
    by_user = labels.reshape(-1, 4), probabilities.reshape(-1, 4), weights[::4]

    fitted = fit_task(task(head="multilabel", calibration="platt"), *by_user)

    assert fitted == fit_platt(labels, probabilities, np.repeat(weights[::4], 4))
    assert fitted is not None
    assert fitted.apply(by_user[1]).shape == (10_000, 4)


def test_a_task_stays_no_more_likely_than_the_one_before_it() -> None:
    funnel = [task(), task(name="buy", depends_on="click")]
    raw = {"click": [0.2, 0.5], "buy": [0.1, 0.4], "buy|click": [0.5, 0.8]}
    maps = {"buy": PlattMap(method="platt", slope=1.0, intercept=float(np.log(3)))}  # odds times three

    mapped = calibrate({name: np.array(rows, dtype=np.float32) for name, rows in raw.items()}, maps, funnel)

    np.testing.assert_allclose(mapped["click"], [0.2, 0.5])
    np.testing.assert_allclose(mapped["buy"], [0.2, 0.5])  # a quarter and two thirds, but no more than click
    np.testing.assert_allclose(mapped["buy|click"], [1.0, 1.0])


def test_maps_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    maps: dict[str, CalibrationMap] = {
        "click": PlattMap(method="platt", slope=0.7, intercept=-0.1),
        "spend": IsotonicMap(method="isotonic", line="log", inputs=(0.1, 0.2), outputs=(0.3, 0.4)),
    }

    write_calibration(tmp_path, maps)

    assert read_calibration(tmp_path) == maps
    assert read_calibration(tmp_path / "elsewhere") == {}


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [((0.1, 0.1), (0.1, 0.2)), ((0.1, 0.2), (0.2, 0.1)), ((0.1,), (0.1, 0.2))],
    ids=["inputs", "outputs", "lengths"],
)
def test_knots_that_do_not_rise_are_refused(inputs: tuple[float, ...], outputs: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must rise"):
        IsotonicMap(method="isotonic", line="logit", inputs=inputs, outputs=outputs)
