"""Each method of gradient aggregation against what defines it, on explicit gradients: rows of J (T, D)."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize

from mtl_model.balancing.aligned_mtl import AlignedMTL
from mtl_model.balancing.balancer import FloatMatrix, FloatVector
from mtl_model.balancing.build_balancer import BALANCERS
from mtl_model.balancing.cagrad import CAGrad
from mtl_model.balancing.gradient_aggregator import GradientAggregator
from mtl_model.balancing.imtl_g import IMTLG
from mtl_model.balancing.mgda import MGDA
from mtl_model.balancing.nash_mtl import NashMTL, bargain
from mtl_model.balancing.pcgrad import PCGrad
from mtl_model.balancing.upgrad import UPGrad, projections
from tests.mtl_model.balancing.signals import make_signals

STEP = 3


@st.composite
def gradients(draw: st.DrawFn, min_tasks: int = 2, max_tasks: int = 6) -> FloatMatrix:
    """Random rows, none of them 0; in small whole numbers equal, opposite and dependent rows are frequent."""
    num_tasks, dim = draw(st.integers(min_tasks, max_tasks)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    jacobian = rng.integers(-2, 3, (num_tasks, dim)).astype(float)
    if draw(st.booleans()):
        jacobian = rng.normal(size=(num_tasks, dim)) * rng.choice([0.1, 1.0, 10.0], (num_tasks, 1))
    assume((np.abs(jacobian).sum(axis=1) > 0).all())
    return jacobian


@st.composite
def independent_gradients(draw: st.DrawFn) -> FloatMatrix:
    jacobian = draw(gradients())
    cosines = cosine_matrix(jacobian)
    assume(np.linalg.eigvalsh(cosines)[0] > 1e-3)
    return jacobian


def cosine_matrix(jacobian: FloatMatrix) -> FloatMatrix:
    units = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)
    cosines: FloatMatrix = units @ units.T
    return cosines


def weigh(method: GradientAggregator, jacobian: FloatMatrix) -> FloatVector:
    return method.aggregate(jacobian @ jacobian.T, STEP)


@given(gradients())
def test_mgda_is_the_shortest_vector_of_the_hull(jacobian: FloatMatrix) -> None:
    weights = weigh(MGDA(len(jacobian)), jacobian)
    direction = jacobian.T @ weights

    scale = (jacobian**2).sum(axis=1).max()
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert (jacobian @ direction).min() >= direction @ direction - 1e-8 * scale  # necessary and sufficient


@given(gradients())
def test_upgrad_projects_each_gradient_onto_the_cone_without_conflict(jacobian: FloatMatrix) -> None:
    gram = jacobian @ jacobian.T
    scale = np.diag(gram).max()
    multipliers = projections(gram) - np.eye(len(gram))
    slopes = projections(gram) @ gram  # row i: J times the projection of g_i

    assert multipliers.min() >= 0  # with the next two: the conditions of Karush, Kuhn and Tucker
    assert slopes.min() >= -1e-8 * scale
    assert np.abs(multipliers * slopes).max() <= 1e-8 * scale * max(multipliers.max(), 1)
    np.testing.assert_allclose(weigh(UPGrad(len(gram)), jacobian), projections(gram).mean(axis=0))


@given(gradients(max_tasks=4))
def test_upgrad_is_what_a_general_solver_finds(jacobian: FloatMatrix) -> None:
    direction = jacobian.T @ weigh(UPGrad(len(jacobian)), jacobian)

    expected = np.mean([project(gradient, jacobian) for gradient in jacobian], axis=0)

    np.testing.assert_allclose(direction, expected, atol=1e-4 * np.abs(jacobian).max())


def project(gradient: FloatVector, jacobian: FloatMatrix) -> FloatVector:
    """The closest x with J x >= 0."""
    scale = np.abs(jacobian).max()
    rows = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)
    solution = minimize(
        lambda x: 0.5 * ((x - gradient / scale) ** 2).sum(),
        np.zeros_like(gradient),
        jac=lambda x: x - gradient / scale,
        constraints={"type": "ineq", "fun": lambda x: rows @ x, "jac": lambda x: rows},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    found: FloatVector = solution.x * scale
    return found


@given(independent_gradients())
def test_nash_mtl_satisfies_the_bargaining_condition(jacobian: FloatMatrix) -> None:
    gram = jacobian @ jacobian.T
    solution = bargain(gram)
    weights = weigh(NashMTL(len(gram)), jacobian)

    assert solution.min() > 0
    np.testing.assert_allclose(solution * (gram @ solution), 1.0, atol=1e-7)
    np.testing.assert_allclose(weights, solution * len(gram) / solution.sum())


@given(gradients(), st.sampled_from([NashMTL, IMTLG, AlignedMTL]))
def test_dependent_gradients_give_finite_weights(
    jacobian: FloatMatrix, method: type[GradientAggregator]
) -> None:
    weights = weigh(method(len(jacobian)), jacobian)

    assert np.isfinite(weights).all()


@given(independent_gradients())
def test_imtl_g_has_equal_projections_onto_all_gradients(jacobian: FloatMatrix) -> None:
    weights = weigh(IMTLG(len(jacobian)), jacobian)
    projected = jacobian @ (jacobian.T @ weights) / np.linalg.norm(jacobian, axis=1)

    assert projected[0] > 0
    np.testing.assert_allclose(projected, projected[0], rtol=1e-6)
    assert np.abs(weights).sum() == pytest.approx(1.0)


@given(independent_gradients())
def test_aligned_mtl_makes_the_gradients_orthogonal_and_of_the_least_length(jacobian: FloatMatrix) -> None:
    left, lengths, right = np.linalg.svd(jacobian, full_matrices=False)
    assume(lengths[-1] > 1e-2 * lengths[0])

    direction = jacobian.T @ weigh(AlignedMTL(len(jacobian)), jacobian)

    np.testing.assert_allclose(direction, (lengths[-1] * left @ right).sum(axis=0), atol=1e-7 * lengths[0])


@given(gradients(min_tasks=2, max_tasks=2))
def test_pcgrad_of_two_tasks_does_not_conflict(jacobian: FloatMatrix) -> None:
    direction = jacobian.T @ weigh(PCGrad(2), jacobian)

    assert (jacobian @ direction).min() >= -1e-9 * (jacobian**2).sum()


@given(gradients())
def test_pcgrad_projects_one_gradient_after_the_other(jacobian: FloatMatrix) -> None:
    order = np.random.default_rng(STEP)
    expected = np.zeros(jacobian.shape[1])
    for task, gradient in enumerate(jacobian):
        projected = gradient.copy()
        for other in order.permutation(len(jacobian)):
            slope = projected @ jacobian[other]
            if other != task and slope < -1e-12:
                projected -= slope / (jacobian[other] @ jacobian[other]) * jacobian[other]
        expected += projected

    direction = jacobian.T @ weigh(PCGrad(len(jacobian)), jacobian)

    np.testing.assert_allclose(direction, expected, atol=1e-8 * np.abs(jacobian).max())


@given(gradients(), st.sampled_from([0.1, 0.5, 0.9]))
def test_cagrad_helps_the_worst_task_as_much_as_any_direction_could(
    jacobian: FloatMatrix, radius: float
) -> None:
    mean = jacobian.mean(axis=0)
    limit = radius * np.linalg.norm(mean)
    scale = np.linalg.norm(jacobian, axis=1).max()
    shortest = jacobian.T @ weigh(MGDA(len(jacobian)), jacobian)
    assume(limit > 1e-3 * scale)
    assume(np.linalg.norm(shortest) > 1e-3 * scale)

    weights = weigh(CAGrad(len(jacobian), radius), jacobian)

    direction = jacobian.T @ weights
    worst_case = (weights - 1 / len(weights)) / (weights.sum() - 1)  # w, from the direction's definition
    combined = jacobian.T @ worst_case
    bound = combined @ mean + limit * np.linalg.norm(combined)  # no direction in the ball does better
    assert worst_case.min() >= -1e-9
    assert np.linalg.norm(direction - mean) == pytest.approx(limit)
    assert (jacobian @ direction).min() == pytest.approx(bound, abs=1e-8 * scale**2)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in ("mgda", "pcgrad", "aligned_mtl", "imtl_g", "nash_mtl", "upgrad")),
        ("cagrad", {"radius": 0.5}),
    ],
)
class TestEveryMethod:
    def test_leaves_a_task_without_a_gradient_out(self, name: str, settings: dict[str, float]) -> None:
        jacobian = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 1.0, 1.0]])
        present = jacobian[[0, 2]]

        three = BALANCERS[name](3, **settings).weigh(make_signals([1.0] * 3, gram=jacobian @ jacobian.T))
        two = BALANCERS[name](2, **settings).weigh(make_signals([1.0] * 2, gram=present @ present.T))

        np.testing.assert_allclose(three, [two[0], 0.0, two[1]])

    @pytest.mark.parametrize("scale", [1e-12, 1e12])
    def test_does_not_depend_on_the_scale_of_all(
        self, name: str, settings: dict[str, float], scale: float
    ) -> None:
        gram = np.array([[2.0, -1.0, 0.3], [-1.0, 1.0, 0.2], [0.3, 0.2, 5.0]])
        method = BALANCERS[name](3, **settings)

        weights = method.weigh(make_signals([1.0] * 3, gram=scale * gram))

        np.testing.assert_allclose(weights, method.weigh(make_signals([1.0] * 3, gram=gram)), rtol=1e-6)

    def test_stands_a_step_without_any_gradient(self, name: str, settings: dict[str, float]) -> None:
        weights = BALANCERS[name](2, **settings).weigh(make_signals([1.0, 1.0], gram=np.zeros((2, 2))))

        assert weights.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        pytest.param(MGDA(2), [0.8, 0.2], id="mgda: (0.8, 0.4) is the hull's point closest to 0"),
        pytest.param(PCGrad(2), [1.0, 1.0], id="pcgrad: nothing to project"),
        pytest.param(UPGrad(2), [0.5, 0.5], id="upgrad: the mean"),
        pytest.param(AlignedMTL(2), [1.0, 0.5], id="aligned_mtl: both of length 1"),
        pytest.param(IMTLG(2), [2 / 3, 1 / 3], id="imtl_g: inverse lengths"),
        pytest.param(NashMTL(2), [4 / 3, 2 / 3], id="nash_mtl: inverse lengths"),
    ],
)
def test_orthogonal_gradients_of_lengths_one_and_two(
    method: GradientAggregator, expected: list[float]
) -> None:
    np.testing.assert_allclose(method.aggregate(np.diag([1.0, 4.0]), STEP), expected, atol=1e-9)


def test_conflicting_gradients_worked_out_by_hand() -> None:
    jacobian: npt.NDArray[np.float64] = np.array([[1.0, 0.0], [-1.0, 1.0]])  # g1 . g2 = -1

    directions: dict[str, FloatVector] = {}
    methods: dict[str, Callable[[int], GradientAggregator]] = {
        "pcgrad": PCGrad,
        "upgrad": UPGrad,
        "mgda": MGDA,
    }
    for name, method in methods.items():
        directions[name] = jacobian.T @ weigh(method(2), jacobian)

    # g1 without its part along g2 is (0.5, 0.5), g2 without its part along g1 is (0, 1)
    np.testing.assert_allclose(directions["pcgrad"], [0.5, 1.5])
    np.testing.assert_allclose(directions["upgrad"], [0.25, 0.75])
    np.testing.assert_allclose(directions["mgda"], [0.2, 0.4])
