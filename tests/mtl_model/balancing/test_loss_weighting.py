"""Each method of loss weighting on cases worked out by hand: Adam's first change is its rate, by sign."""

import math

import numpy as np
import pytest

from mtl_model.balancing.balancer import Balancer
from mtl_model.balancing.build_balancer import BALANCERS
from mtl_model.balancing.dwa import DWA
from mtl_model.balancing.famo import FAMO
from mtl_model.balancing.fixed import Fixed
from mtl_model.balancing.gradnorm import MIN_WEIGHT, GradNorm
from mtl_model.balancing.imtl_l import IMTLL
from mtl_model.balancing.stch import STCH
from mtl_model.balancing.uncertainty import Uncertainty
from tests.mtl_model.balancing.signals import make_signals


def settle(balancer: Balancer, losses: list[float], steps: int) -> None:
    for _ in range(steps):
        balancer.weigh(make_signals(losses))


def test_fixed_weights_are_one() -> None:
    assert Fixed(num_tasks=2).weigh(make_signals([3.0, 0.1])).tolist() == [1.0, 1.0]


def test_uncertainty_starts_at_one_half_and_moves_towards_the_log_loss() -> None:
    balancer = Uncertainty(num_tasks=2, learning_rate=0.1)

    weights = balancer.weigh(make_signals([4.0, 0.25]))

    assert weights.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(balancer.state["log_variances"], [0.1, -0.1], rtol=1e-6)


def test_uncertainty_settles_where_the_formula_is_least() -> None:
    balancer = Uncertainty(num_tasks=2, learning_rate=0.02)

    settle(balancer, [4.0, 0.25], steps=2000)

    np.testing.assert_allclose(balancer.state["log_variances"], np.log([4.0, 0.25]), atol=1e-3)


def test_imtl_l_draws_every_scaled_loss_to_one() -> None:
    balancer = IMTLL(num_tasks=2, learning_rate=0.02)

    first = balancer.weigh(make_signals([4.0, 0.25]))
    settle(balancer, [4.0, 0.25], steps=2000)

    assert first.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(balancer.weigh(make_signals([4.0, 0.25])), [0.25, 4.0], rtol=1e-3)


def test_dwa_compares_the_last_two_windows() -> None:
    balancer = DWA(num_tasks=2, temperature=2.0, window_steps=2)
    for losses in ([1.0, 3.0], [3.0, 5.0], [1.0, 3.0], [1.0, 5.0]):  # means 2 and 4, then 1 and 4
        assert balancer.weigh(make_signals(losses)).tolist() == [1.0, 1.0]

    weights = balancer.weigh(make_signals([9.0, 9.0]))

    odds = math.exp((0.5 - 1.0) / 2.0)
    np.testing.assert_allclose(weights, [2 * odds / (1 + odds), 2 / (1 + odds)])


def test_dwa_leaves_out_steps_and_windows_without_a_label() -> None:
    balancer = DWA(num_tasks=2, temperature=1.0, window_steps=2)
    for loss, labelled in ((4.0, True), (1.0, False), (1.0, False), (1.0, False), (2.0, True), (1.0, False)):
        balancer.weigh(make_signals([1.0, loss], labelled=[True, labelled]))

    assert balancer.state["last_means"].tolist() == [1.0, 2.0]
    assert balancer.state["earlier_means"].tolist() == [1.0, 4.0]


def test_stch_is_the_gradient_of_the_smooth_maximum() -> None:
    losses, smoothing, shift = np.array([0.3, 0.5, 0.2]), 0.1, 1e-6

    weights = STCH(num_tasks=3, smoothing=smoothing).weigh(make_signals(losses.tolist()))

    def smooth_maximum(values: np.typing.NDArray[np.float64]) -> float:
        return float(smoothing * np.log(np.exp(values / smoothing).sum()))

    slopes = [
        (smooth_maximum(losses + unit) - smooth_maximum(losses - unit)) / (2 * shift)
        for unit in shift * np.eye(3)
    ]
    np.testing.assert_allclose(weights, slopes, rtol=1e-6)


def test_famo_divides_by_the_loss_and_keeps_the_sum_of_the_weights() -> None:
    weights = FAMO(num_tasks=2, learning_rate=0.1, weight_decay=0.01).weigh(make_signals([4.0, 1.0]))

    np.testing.assert_allclose(weights, [0.2, 0.8])


def test_famo_takes_weight_from_the_task_that_improved_more() -> None:
    balancer = FAMO(num_tasks=3, learning_rate=0.1, weight_decay=0.01)
    balancer.weigh(make_signals([4.0, 1.0, 1.0]))

    balancer.observe_losses_after(np.array([2.0, 0.9, 1.0]))

    descents = np.log([2.0, 1 / 0.9, 1.0])
    np.testing.assert_allclose(balancer.state["adam_mean"], 0.1 * (descents - descents.mean()) / 3)
    np.testing.assert_allclose(balancer.state["preferences"], [-0.1, 0.1, 0.1], rtol=1e-4)


def test_gradnorm_moves_towards_equal_norms_and_slow_tasks() -> None:
    balancer = GradNorm(num_tasks=2, asymmetry=1.0, learning_rate=0.1)
    gram = np.diag([9.0, 1.0])  # norms 3 and 1, mean 2

    weights = balancer.weigh(make_signals([5.0, 7.0], gram=gram))

    assert weights.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(balancer.state["weights"], [0.9, 1.1], rtol=1e-6)
    assert balancer.state["first_losses"].tolist() == [5.0, 7.0]


def test_gradnorm_settles_where_norms_follow_the_rates_of_training() -> None:
    balancer = GradNorm(num_tasks=2, asymmetry=1.0, learning_rate=0.002)
    gram = np.diag([9.0, 1.0])
    balancer.weigh(make_signals([1.0, 1.0], gram=gram))

    for _ in range(2000):
        balancer.weigh(make_signals([0.5, 1.0], gram=gram))

    norms = balancer.state["weights"] * [3.0, 1.0]  # r = (2/3, 4/3)
    assert norms[1] / norms[0] == pytest.approx(2.0, rel=0.05)
    assert balancer.state["weights"].sum() == pytest.approx(2.0)


def test_gradnorm_keeps_every_weight_above_zero() -> None:
    balancer = GradNorm(num_tasks=2, asymmetry=1.0, learning_rate=0.5)
    for _ in range(20):
        balancer.weigh(make_signals([1.0, 1.0], gram=np.diag([1e6, 1.0])))

    assert balancer.state["weights"].min() >= MIN_WEIGHT / 2


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("uncertainty", {"learning_rate": 0.1}),
        ("imtl_l", {"learning_rate": 0.1}),
        ("famo", {"learning_rate": 0.1, "weight_decay": 0.01}),
        ("gradnorm", {"asymmetry": 1.5, "learning_rate": 0.1}),
        ("dwa", {"temperature": 2.0, "window_steps": 1}),
        ("stch", {"smoothing": 0.1}),
    ],
)
def test_nothing_is_learned_of_a_task_without_a_label(name: str, settings: dict[str, float]) -> None:
    balancer = BALANCERS[name](num_tasks=3, **settings)
    before = {key: values.copy() for key, values in balancer.state.items()}
    gram = np.diag([1.0, 4.0, 0.0])

    weights = balancer.weigh(make_signals([2.0, 0.5, 1.0], labelled=[True, True, False], gram=gram))
    balancer.observe_losses_after(np.array([1.0, 0.4, 1.0]))

    assert np.isfinite(weights).all()
    for key, values in balancer.state.items():
        if len(values) == 3 and key != "weights":  # GradNorm's weights are scaled to a sum
            assert values[2] == before[key][2], key
