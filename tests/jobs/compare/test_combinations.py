from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from jobs.compare.combinations import Combination, Tuning, describe_tuning, list_combinations, model_of
from jobs.config import load_scenario
from mtl_model.balancing.build_balancer import BALANCERS
from mtl_model.config import HeadName, ModelConfig
from mtl_model.evaluation.task_metrics import TASK_METRICS
from mtl_model.heads.config import CLASS_HEADS
from mtl_model.model import SHARING
from mtl_model.training.config import EarlyStoppingConfig

MODEL = load_scenario("grocery").model
BINARY = {"head": "binary", "loss_weight": 1.0}
FUNNEL = ModelConfig.model_validate(
    MODEL.model_dump()
    | {
        "tasks": [
            {"name": "click", "label": "label_click", "negatives_sampled": True} | BINARY,
            {"name": "buy", "label": "label_buy", "depends_on": "click"} | BINARY,
            {"name": "pay", "label": "label_pay", "depends_on": "buy"} | BINARY,
            {"name": "rate", "label": "label_rate"} | BINARY | {"head": "regression"},
        ]
    }
)


@pytest.mark.parametrize("sharing", sorted(SHARING.keys() - {"single_task"}))
def test_every_way_of_sharing_can_be_compared(sharing: str) -> None:
    combinations = list_combinations(FUNNEL, [sharing], ["fixed"], num_seeds=1)

    model = model_of(FUNNEL, combinations[-1])
    assert model.sharing.name == sharing
    settings = model.sharing.model_dump()
    assert (settings.get("hidden_dims") or settings["expert_hidden_dims"]) == (128, 64)  # the scenario's
    assert settings.get("num_experts", 4) == 4


@pytest.mark.parametrize("sharing", sorted(SHARING.keys() - {"single_task"}))
def test_the_shop_can_be_trained_under_every_way_of_sharing(sharing: str) -> None:
    combinations = list_combinations(load_scenario("shop").model, [sharing], ["fixed"], num_seeds=1)

    assert combinations[-1].sharing == sharing


def test_tasks_of_a_funnel_are_a_group_of_home() -> None:
    model = model_of(FUNNEL, Combination("home", "fixed", 1))

    assert model.sharing.model_dump()["groups"] == {
        "with_click": ("click", "buy", "pay"),
        "with_rate": ("rate",),
    }


def test_each_task_has_a_twin_and_each_pair_a_model_under_each_seed() -> None:
    names = [
        combination.name
        for combination in list_combinations(MODEL, ["mmoe", "ple"], ["fixed", "dwa"], num_seeds=2)
    ]

    assert len(names) == len(set(names)) == 2 * (5 + 4)
    assert {"twin-spend-seed1", "twin-spend-seed2", "ple-dwa-seed2", "mmoe-fixed-seed1"} <= set(names)


def test_twins_are_trained_with_each_tuning_and_joint_models_with_none() -> None:
    tunings = [Tuning(), Tuning(learning_rate=0.5), Tuning(width=2)]

    combinations = list_combinations(MODEL, ["mmoe"], ["fixed"], num_seeds=1, tunings=tunings)

    names = [combination.name for combination in combinations]
    assert len(names) == len(set(names)) == 3 * 5 + 1
    assert {
        "twin-spend-seed1",
        "twin-spend-learning_rate0.5-width1-penalty1-seed1",
        "mmoe-fixed-seed1",
    } <= set(names)


def test_a_tuning_multiplies_all_learning_rates_and_the_widths() -> None:
    rates = {"learning_rate": 0.01, "embedding_learning_rate": 0.02, "final_learning_rate": 0.001}
    training = MODEL.training.model_copy(update=rates)
    model = MODEL.model_copy(update={"training": training})

    twin = model_of(model, Combination("single_task", "fixed", 1, "spend", Tuning(0.5, 2)))

    halved = {name: rate / 2 for name, rate in rates.items()}
    assert twin.training == training.model_copy(update={"seed": 1, **halved})
    assert twin.sharing.model_dump()["hidden_dims"] == (256, 128)


def test_a_tuning_multiplies_the_penalty_of_a_factorisation_and_needs_one() -> None:
    model = load_scenario("movies_1m").model
    lighter = Combination("single_task", "fixed", 1, "spend", Tuning(penalty=0.5))

    twin = model_of(model, replace(lighter, twin_of="like"))

    assert model.factorization
    assert twin.factorization == model.factorization.model_copy(update={"penalty": 0.025})
    with pytest.raises(ValueError, match="no factorization whose penalty"):
        model_of(MODEL, lighter)


@pytest.mark.parametrize(
    ("tuning", "text"),
    [
        pytest.param(Tuning(), "as the scenario", id="none"),
        pytest.param(Tuning(0.5, 2, 1e-5), "learning rate x 0.5, width x 2, penalty x 1e-05", id="all"),
    ],
)
def test_a_tuning_is_told_by_what_is_not_the_scenarios(tuning: Tuning, text: str) -> None:
    assert describe_tuning(tuning.name) == text


@pytest.mark.parametrize("balancing", BALANCERS)
def test_every_balancing_can_be_compared(balancing: str) -> None:
    model = model_of(MODEL, Combination("mmoe", balancing, seed=9))

    assert model.balancing.name == balancing
    assert model.sharing == MODEL.sharing
    assert model.training.seed == 9


def test_a_twin_shares_with_no_task_but_keeps_those_that_correct_it() -> None:
    pay = model_of(FUNNEL, Combination("single_task", "fixed", 1, twin_of="pay"))
    rate = model_of(FUNNEL, Combination("single_task", "fixed", 1, twin_of="rate"))

    assert [task.name for task in pay.tasks] == ["click", "buy", "pay"]
    assert [task.name for task in rate.tasks] == ["rate"]
    assert {pay.sharing.name, rate.sharing.name} == {"single_task"}


@pytest.mark.parametrize(
    ("task", "metric", "twins"),
    [
        pytest.param("purchase", "gauc", "gauc", id="the scenario's metric"),
        pytest.param("spend", "gauc", "normalised_gini", id="no metric of the head"),
        pytest.param("category_interest", "gauc", "auc", id="not of several labels"),
        pytest.param("purchase", "log_loss", "log_loss", id="a loss"),
    ],
)
def test_a_twin_stops_early_on_its_own_task(task: str, metric: str, twins: str) -> None:
    model = _with_stopping(MODEL, "purchase", metric)

    twin = model_of(model, Combination("single_task", "fixed", 1, twin_of=task))
    joint = model_of(model, Combination("mmoe", "fixed", 1))

    stopping = twin.training.early_stopping
    assert stopping == EarlyStoppingConfig.model_validate({"task": task, "metric": twins, "patience": 2})
    assert joint.training.early_stopping == model.training.early_stopping


def test_a_twin_of_a_funnel_does_not_stop_on_the_task_before_it() -> None:
    model = _with_stopping(FUNNEL, "click", "auc")

    pay = model_of(model, Combination("single_task", "fixed", 1, twin_of="pay"))

    assert pay.training.early_stopping
    assert pay.training.early_stopping.task == "pay"


def test_a_twin_trains_all_epochs_where_the_joint_model_does() -> None:
    twin = model_of(MODEL, Combination("single_task", "fixed", 1, twin_of="spend"))

    assert MODEL.training.early_stopping is twin.training.early_stopping is None


@pytest.mark.parametrize("head", get_args(HeadName))
def test_a_twin_of_any_head_stops_on_a_metric_that_its_head_has(head: HeadName) -> None:
    classes = 2 if head in CLASS_HEADS else None
    rate = {"name": "rate", "label": "label_rate", "head": head, "loss_weight": 1.0, "num_classes": classes}
    tasks = [FUNNEL.tasks[0].model_dump(), rate]
    model = ModelConfig.model_validate(FUNNEL.model_dump() | {"tasks": tasks})
    labels = np.array([[0.0, 1.0], [1.0, 0.0]] if head == "multilabel" else [0.0, 1.0])
    predictions = np.eye(2) if head == "multiclass" else labels
    names = ["a", "b"] if head == "multilabel" else []
    measured = TASK_METRICS[head](labels, predictions, np.ones(2), np.zeros(2, dtype=np.int64), names)

    for metric in get_args(EarlyStoppingConfig.model_fields["metric"].annotation):
        stopping = EarlyStoppingConfig(task="click", metric=metric, patience=2)
        training = model.training.model_copy(update={"early_stopping": stopping})
        twin = model_of(
            model.model_copy(update={"training": training}),
            Combination("single_task", "fixed", 1, twin_of="rate"),
        )
        assert twin.training.early_stopping
        assert twin.training.early_stopping.metric in measured
        assert (twin.training.early_stopping.metric == metric) == (metric in measured)


@pytest.mark.parametrize(
    ("sharing", "balancing", "message"),
    [
        pytest.param("mmo", "fixed", "no way of sharing 'mmo': .*mmoe", id="sharing"),
        pytest.param("mmoe", "fix", "mmoe with fix: .*'fixed'", id="balancing"),
        pytest.param("esmm", "fixed", "esmm needs tasks joined by depends_on", id="no funnel"),
        pytest.param("single_task", "fixed", "leave it out of --sharing", id="a twin of itself"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(
    sharing: str, balancing: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        list_combinations(MODEL, [sharing], [balancing], num_seeds=1)


def _with_stopping(model: ModelConfig, task: str, metric: str) -> ModelConfig:
    content = model.model_dump()
    content["training"]["early_stopping"] = {"task": task, "metric": metric, "patience": 2}
    return ModelConfig.model_validate(content)
