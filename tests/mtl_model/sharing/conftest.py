"""A spec whose model shares in a given way: a funnel of three tasks and one task beside it."""

from collections.abc import Callable
from typing import Any

import pytest

from mtl_model.config import TrainSpec
from tests.mtl_model.conftest import MODEL
from tests.mtl_model.sharing.build_sharing import SETTINGS

FUNNEL: list[dict[str, Any]] = [
    {"name": "click", "head": "binary", "label": "label_click", "loss_weight": 1.0},
    {"name": "cart", "head": "binary", "label": "label_cart", "loss_weight": 0.5, "depends_on": "click"},
    {"name": "buy", "head": "binary", "label": "label_purchase", "loss_weight": 2.0, "depends_on": "cart"},
    {"name": "interest", "head": "multilabel", "label": "label_interest", "loss_weight": 0.5},
]


@pytest.fixture
def make_funnel_spec(make_spec: Callable[..., TrainSpec]) -> Callable[[str], TrainSpec]:
    def make(kind: str) -> TrainSpec:
        sharing = SETTINGS[kind].copy()
        for dims in sharing.keys() & {"hidden_dims", "expert_hidden_dims"}:
            sharing[dims] = [
                16,
                8,
            ]  # wide enough that no row has one active unit, whose LayerNorm is all rounding
        if sharing["name"] == "home":
            sharing["groups"] = {"browsing": ["click", "cart"], "paying": ["buy", "interest"]}
        towers = [] if sharing["name"] in {"task_relationship", "resflow"} else [8]
        model = MODEL | {"sharing": sharing, "tower_hidden_dims": towers, "tasks": FUNNEL}
        return make_spec(num_rows=300, changes={"model": model})

    return make
