import pytest
from pydantic import TypeAdapter, ValidationError

from mtl_model.balancing.build_balancer import BALANCERS, build_balancer
from mtl_model.balancing.config import BalancingConfig
from mtl_model.config import ModelConfig

ADAPTER: TypeAdapter[BalancingConfig] = TypeAdapter(BalancingConfig)


@pytest.mark.parametrize("name", BALANCERS)
def test_every_method_is_built_from_its_name_alone(name: str) -> None:
    balancer = build_balancer(ADAPTER.validate_python({"name": name}), num_tasks=3)

    assert type(balancer) is BALANCERS[name]


def test_weights_are_fixed_unless_a_scenario_says_otherwise() -> None:
    assert ModelConfig.model_fields["balancing"].default.name == "fixed"


@pytest.mark.parametrize(
    "balancing",
    [
        pytest.param({"name": "mtl"}, id="unknown method"),
        pytest.param({"name": "mgda", "learning_rate": 0.1}, id="setting of another method"),
        pytest.param({"name": "cagrad", "radius": 1.0}, id="as far as the mean gradient is long"),
    ],
)
def test_what_a_method_does_not_know_is_refused(balancing: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(balancing)
