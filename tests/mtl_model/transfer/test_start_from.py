"""What comes over from a model of other tasks and fields, or of the same in another order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from mtl_model.config import TrainSpec
from mtl_model.model import JointModel
from tests.mtl_model.conftest import DEPARTMENTS, FACTORIZATION
from tests.mtl_model.sharing.build_sharing import SETTINGS
from tests.mtl_model.sharing.conftest import FUNNEL
from tests.mtl_model.transfer.carry_over import FIELDS, MakeSpec, carry_over, describe, of_funnel

COUPON: dict[str, Any] = {"name": "coupon", "head": "binary", "label": "label_coupon", "loss_weight": 0.5}
REGRESSION: dict[str, Any] = {"head": "regression", "label": "label_minutes"}
IN_ANOTHER_ORDER = [FUNNEL[3], *FUNNEL[:3]]
TASK_FREE = {"bottom", "experts", "gate", "layers", "films"}


def logits_of(model: JointModel, spec: TrainSpec) -> dict[str, Tensor]:
    batch = describe(spec)[0].encode(pq.read_table(spec.train_files[0]))
    with torch.no_grad():
        logits: dict[str, Tensor] = model(batch.ids, batch.numbers)
    return logits


def assert_same_logits(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for task in one:
        torch.testing.assert_close(one[task], other[task])


def weights_of(model: JointModel, prefix: str) -> dict[str, Tensor]:
    weights = model.state_dict().items()
    return {name.removeprefix(prefix): weight for name, weight in weights if name.startswith(prefix)}


def own_weights(model: JointModel, task: str) -> dict[str, Tensor]:
    own = (f"towers.{task}.", f"heads.{task}.")
    return {name: weight for name, weight in model.state_dict().items() if name.startswith(own)}


def pooling(copy: int) -> str:
    return f"lists.0.poolings.{copy}."


def assert_equal_weights(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_model_of_the_same_tasks_and_fields_comes_over_whole(
    make_spec: MakeSpec, tmp_path: Path, kind: str
) -> None:
    spec = of_funnel(make_spec, kind, factorization=FACTORIZATION)

    earlier, model, afresh = carry_over(spec, spec, tmp_path / "earlier")

    assert afresh == set()
    assert_same_logits(logits_of(model, spec), logits_of(earlier, spec))


@pytest.mark.parametrize("kind", SETTINGS)
def test_what_is_stacked_by_task_begins_afresh_where_tasks_are_listed_otherwise(
    make_spec: MakeSpec, tmp_path: Path, kind: str
) -> None:
    first = of_funnel(make_spec, kind)
    second = of_funnel(make_spec, kind, tasks=IN_ANOTHER_ORDER)

    earlier, model, afresh = carry_over(first, second, tmp_path / "earlier")

    sharing = {f"sharing.{name}" for name in model.sharing.state_dict()}
    free = {name for name in sharing if name.split(".")[1] in TASK_FREE}
    is_free = kind in {"shared_bottom", "task_relationship", "omoe", "mmoe", "task_embedding"}
    assert afresh == (sharing - free if is_free else sharing)
    for task in FUNNEL:
        assert_equal_weights(own_weights(model, task["name"]), own_weights(earlier, task["name"]))
    if not afresh:
        assert_same_logits(logits_of(model, second), logits_of(earlier, first))


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_sharing_begins_afresh_where_fields_are_listed_otherwise(
    make_spec: MakeSpec, tmp_path: Path, kind: str
) -> None:
    first, second = of_funnel(make_spec, kind), of_funnel(make_spec, kind, fields=FIELDS[::-1])

    earlier, model, afresh = carry_over(first, second, tmp_path / "earlier")

    assert afresh == {f"sharing.{name}" for name in model.sharing.state_dict()}
    for field in ("user_id", "item_id", "days_since", "query", "departments"):
        slots = first.model.slot_of(field), second.model.slot_of(field)
        assert torch.equal(earlier.embedding.slot_weights(slots[0]), model.embedding.slot_weights(slots[1]))
    for place, before in ((0, 1), (1, 0)):
        assert_equal_weights(weights_of(model, f"lists.{place}."), weights_of(earlier, f"lists.{before}."))


def test_fields_that_stand_in_another_place_and_order_of_kinds_are_the_same_inputs(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    numbers_first = [*FIELDS[2:4], *FIELDS[:2], *FIELDS[4:]]
    first, second = of_funnel(make_spec, "mmoe"), of_funnel(make_spec, "mmoe", fields=numbers_first)

    earlier, model, afresh = carry_over(first, second, tmp_path / "earlier")

    assert afresh == set()
    assert_same_logits(logits_of(model, second), logits_of(earlier, first))


@pytest.mark.parametrize("kind", ["single_task", "stem"])
def test_a_tasks_own_embeddings_and_lists_follow_it(make_spec: MakeSpec, tmp_path: Path, kind: str) -> None:
    first = of_funnel(make_spec, kind, tasks=FUNNEL)
    second = of_funnel(make_spec, kind, tasks=[COUPON, *FUNNEL[:3]])

    earlier, model, afresh = carry_over(first, second, tmp_path / "earlier")

    before, now = (torch.split(part.embedding.slot_weights(0), 4, dim=1) for part in (earlier, model))
    for place in range(3):
        assert torch.equal(before[place], now[place + 1])
        assert_equal_weights(weights_of(earlier, pooling(place)), weights_of(model, pooling(place + 1)))
    if kind == "stem":
        assert torch.equal(before[4], now[4])
    assert not torch.isclose(before[3], now[0]).any()
    assert f"embedding of user_id, but for {4 * len(now) - 4} of {4 * len(now)} columns" in afresh
    new = {pooling(0) + name for name in weights_of(model, pooling(0))}
    assert new | set(own_weights(model, "coupon")) <= afresh


def test_the_biases_of_factors_follow_their_tasks(make_spec: MakeSpec, tmp_path: Path) -> None:
    first = of_funnel(make_spec, "shared_bottom", factorization=FACTORIZATION)
    second = of_funnel(
        make_spec, "shared_bottom", factorization=FACTORIZATION, tasks=[*FUNNEL[:2], COUPON, FUNNEL[2]]
    )

    earlier, model, afresh = carry_over(first, second, tmp_path / "earlier")

    before, now = earlier.embedding.slot_weights(0), model.embedding.slot_weights(0)
    assert torch.equal(now[:, [*range(7), 8]], before[:, :8])
    heads = {
        f"heads.{task}.linear.{kind}" for task in ("click", "cart", "buy") for kind in ("weight", "bias")
    }
    assert heads <= afresh
    assert not any(name.startswith("sharing.") for name in afresh)


@pytest.mark.parametrize(
    ("tasks", "labels"),
    [
        pytest.param([FUNNEL[0] | REGRESSION, FUNNEL[3]], DEPARTMENTS, id="another head of the same shape"),
        pytest.param([FUNNEL[0], FUNNEL[3]], DEPARTMENTS[::-1], id="labels in another order"),
    ],
)
def test_a_head_and_its_tower_need_the_same_kind_of_head_and_the_same_labels(
    make_spec: MakeSpec, tmp_path: Path, tasks: list[dict[str, Any]], labels: Sequence[str]
) -> None:
    first = of_funnel(make_spec, "shared_bottom", tasks=[FUNNEL[0], FUNNEL[3]])
    second = of_funnel(make_spec, "shared_bottom", tasks=tasks)
    second = second.model_copy(update={"label_names": {"interest": tuple(labels)}})

    _, model, afresh = carry_over(first, second, tmp_path / "earlier")

    assert afresh == set(own_weights(model, "click" if labels == DEPARTMENTS else "interest"))


def test_a_sharing_of_other_settings_begins_afresh(make_spec: MakeSpec, tmp_path: Path) -> None:
    groups = {"paying": ["buy", "interest"], "browsing": ["click", "cart"]}
    first = of_funnel(make_spec, "home")
    second = of_funnel(make_spec, "home", sharing=SETTINGS["home"] | {"groups": groups})

    _, model, afresh = carry_over(first, second, tmp_path / "earlier")

    assert afresh == {f"sharing.{name}" for name in model.sharing.state_dict()}
