import subprocess
import sys
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from mtl_model.config import ModelConfig, NumericStatistics, TrainSpec
from mtl_model.heads.config import RESERVED_TASK_NAMES

TASK = {"name": "click", "head": "binary", "label": "label_click", "loss_weight": 1.0}
BUY = TASK | {"name": "buy", "label": "label_buy", "depends_on": "click"}
TRAINING = {
    "num_processes": 2,
    "global_batch_size": 64,
    "epochs": 1,
    "learning_rate": 0.01,
    "final_learning_rate": 0.001,
    "seed": 1,
}
ROWWISE = {"embedding_optimizer": "rowwise_adagrad", "embedding_learning_rate": 0.1}
MODEL: dict[str, Any] = {
    "embedding_dim": 4,
    "fields": [{"kind": "id", "name": "user_id"}, {"kind": "numeric", "name": "price"}],
    "sharing": {"name": "shared_bottom", "hidden_dims": [8]},
    "tower_hidden_dims": [],
    "tasks": [TASK],
    "training": TRAINING,
}
LIST: dict[str, Any] = {"kind": "id_list", "name": "bought", "max_length": 5}
TRANSFORMER = {"name": "transformer", "num_layers": 1, "num_heads": 3, "feedforward_dim": 8}
ITEM = {"kind": "id", "name": "item_id"}
FACTORS: dict[str, Any] = {"num_factors": 8}
HOME: dict[str, Any] = {
    "name": "home",
    "num_shared_experts": 1,
    "num_group_experts": 1,
    "num_task_experts": 1,
    "expert_hidden_dims": [8],
    "feature_gate_rank": 2,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"tasks": [TASK, TASK]}, "tasks must have different names, got .'click'.", id="task twice"
        ),
        pytest.param({"fields": MODEL["fields"] * 2}, "fields must have different names", id="field twice"),
        pytest.param(
            {"fields": [ITEM | {"name": "../../x"}]}, r"cannot be \['../../x'\]", id="a field that is a path"
        ),
        pytest.param(
            {"tasks": [TASK | {"name": "train"}]}, "'train' is taken by torch.nn.Module", id="reserved"
        ),
        pytest.param({"tasks": [TASK | {"name": "Click.1"}]}, "lower-case words", id="not a word"),
        pytest.param(
            {"tasks": [TASK | {"label": "price"}]}, r"the model reads the answer: \['price'\]", id="leak"
        ),
        pytest.param({"tasks": []}, "at least 1 item", id="no task"),
        pytest.param(
            {"tasks": [TASK | {"head": "regression", "calibration": "platt"}]},
            r"calibration of regression heads is one of \[\]: task click has platt",
            id="nothing to calibrate",
        ),
        pytest.param(
            {"tasks": [TASK | {"head": "zero_inflated_lognormal", "calibration": "platt"}]},
            r"is one of \['isotonic'\]",
            id="platt is for probabilities",
        ),
        pytest.param(
            {"slices": [{"name": "new", "column": "user_id", "at_most": 1}]},
            r"cut by numeric fields of the model, which \['user_id'\] are not",
            id="a slice of names",
        ),
        pytest.param(
            {"slices": [{"name": "all", "column": "price"}]}, "needs at_least or at_most", id="no bound"
        ),
        pytest.param({"embeding_dim": 4}, "Extra inputs are not permitted", id="unknown key"),
        pytest.param({"sharing": {"name": "mmo"}}, "'omoe', 'mmoe'", id="unknown sharing"),
        pytest.param(
            {"training": TRAINING | {"global_batch_size": 63}}, "multiple of num_processes", id="batch"
        ),
        pytest.param(
            {"training": TRAINING | {"final_learning_rate": 1.0}}, "must not exceed", id="rate rises"
        ),
        pytest.param(
            {"training": TRAINING | {"embedding_optimizer": "rowwise_adagrad"}},
            "rowwise_adagrad needs an embedding_learning_rate",
            id="rows without a rate",
        ),
        pytest.param(
            {"training": TRAINING | ROWWISE | {"embedding_weight_decay": 0.1}},
            "touches the rows of a batch alone",
            id="decay of all rows",
        ),
        pytest.param({"tasks": [BUY]}, "'click', which is none of the tasks listed before", id="no parent"),
        pytest.param(
            {"tasks": [BUY, TASK | {"depends_on": "buy"}]}, "none of the tasks listed before", id="a cycle"
        ),
        pytest.param({"tasks": [TASK | {"depends_on": "click"}]}, "none of the tasks", id="own parent"),
        pytest.param(
            {"tasks": [TASK | {"head": "regression"}, BUY]}, "must have binary heads", id="no probability"
        ),
        pytest.param(
            {"tasks": [TASK, BUY | {"negatives_sampled": True}]},
            "buy depends on click: only the first task of a funnel",
            id="sampled twice",
        ),
        pytest.param(
            {"sharing": {"name": "esmm", "hidden_dims": [8]}},
            "esmm needs tasks joined by depends_on",
            id="no funnel",
        ),
        pytest.param(
            {
                "sharing": {"name": "task_relationship", "hidden_dims": [8], "relationship_weight": 1.0},
                "tower_hidden_dims": [8],
            },
            r"task_relationship has no towers: set tower_hidden_dims to \[\]",
            id="towers in between",
        ),
        pytest.param(
            {
                "sharing": {
                    "name": "stem",
                    "task_fields": ["user_id", "price"],
                    "num_shared_experts": 1,
                    "num_task_experts": 1,
                    "expert_hidden_dims": [8],
                }
            },
            r"task_fields \['price'\] have no embedding; these have: \['user_id'\]",
            id="no embedding",
        ),
        pytest.param(
            {"sharing": HOME | {"groups": {"browsing": ["click", "cart"]}}},
            r"groups must name each task once: the tasks are \['click'\], got \['click', 'cart'\]",
            id="task of no model",
        ),
        pytest.param(
            {"sharing": HOME | {"groups": {"click": ["click"]}}}, "named like tasks", id="group or task"
        ),
        pytest.param(
            {"tasks": [TASK | {"head": "ordinal"}]},
            "click has head ordinal and num_classes None",
            id="classes",
        ),
        pytest.param(
            {"tasks": [TASK | {"num_classes": 3}]}, "has head binary and num_classes 3", id="binary classes"
        ),
        pytest.param(
            {"tasks": [TASK | {"head": "regression", "negatives_sampled": True}]},
            "knows no negatives",
            id="no negatives",
        ),
        pytest.param(
            {"fields": [*MODEL["fields"], LIST | {"shares": "price"}]},
            r"bought shares 'price', which is none of the id fields \['user_id'\]",
            id="no id to share",
        ),
        pytest.param(
            {"fields": [*MODEL["fields"], LIST | {"shares": "user_id", "embedding_dim": 3}]},
            "embedding_dim, min_count and num_hash_rows are set there",
            id="shared and own",
        ),
        pytest.param(
            {"fields": [*MODEL["fields"], LIST | {"shares": "user_id", "num_hash_rows": 3}]},
            "embedding_dim, min_count and num_hash_rows are set there",
            id="shared and hashed",
        ),
        pytest.param(
            {"fields": [*MODEL["fields"], LIST | {"num_hash_rows": 3, "min_count": 2}]},
            "bought is hashed, which knows no min_count",
            id="hashed and counted",
        ),
        pytest.param(
            {"fields": [*MODEL["fields"], LIST | {"pooling": {"name": "din", "hidden_dims": [4]}}]},
            "bought has pooling din, whose target is the id field that it shares",
            id="no target",
        ),
        pytest.param(
            {"fields": [*MODEL["fields"], LIST | {"pooling": TRANSFORMER}]},
            "embedding dim of field bought, 4, must be a multiple of its num_heads, got 3",
            id="heads",
        ),
        pytest.param(
            {"factorization": FACTORS | {"sides": [["user_id"], ["price"]]}},
            r"factorization: \['price'\] have no embedding; these have: \['user_id'\]",
            id="number without factors",
        ),
        pytest.param(
            {"factorization": FACTORS | {"sides": [["user_id"], ["user_id"]]}},
            "each field stands in one side, once",
            id="one side",
        ),
        pytest.param(
            {
                "factorization": FACTORS | {"sides": [["user_id"], ["item_id"]]},
                "fields": [*MODEL["fields"], ITEM | {"embedding_dim": 3}],
            },
            r"num_factors is the dim of \['item_id'\]",
            id="factors of another dim",
        ),
        pytest.param(
            {
                "factorization": FACTORS | {"sides": [["user_id"], ["item_id"]]},
                "fields": [*MODEL["fields"], ITEM, LIST | {"shares": "item_id"}],
            },
            "bought shares the embeddings of item_id: both belong to the factorization, or neither",
            id="half shared",
        ),
        pytest.param(
            {
                "factorization": FACTORS | {"sides": [["user_id"], ["bought"]]},
                "fields": [*MODEL["fields"], LIST | {"pooling": TRANSFORMER | {"num_heads": 2}}],
            },
            "bought is pooled by its mean, got transformer",
            id="pooled factors",
        ),
        pytest.param(
            {"tasks": [TASK | {"detached": True}]},
            "all tasks are detached",
            id="nobody trains what is shared",
        ),
        pytest.param(
            {
                "tasks": [TASK | {"detached": True}, TASK | {"name": "cart"}],
                "sharing": {"name": "single_task", "hidden_dims": [4]},
            },
            "no task can be detached under sharing single_task",
            id="nothing to detach from",
        ),
    ],
)
def test_a_wrong_model_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig.model_validate(MODEL | change)


def test_dependent_tasks_name_their_parents_in_order() -> None:
    pay = TASK | {"name": "pay", "label": "label_pay", "depends_on": "buy"}
    sharing = {"name": "aitm", "hidden_dims": [8], "calibrator_weight": 0.5}

    model = ModelConfig.model_validate(MODEL | {"tasks": [TASK, BUY, pay], "sharing": sharing})

    assert list(model.parents.items()) == [("buy", "click"), ("pay", "buy")]


def test_every_one_word_attribute_of_a_module_dict_is_reserved() -> None:
    taken = {name for name in dir(torch.nn.ModuleDict()) if name.isalpha() and name.islower()}

    assert {name for name in taken if not RESERVED_TASK_NAMES.fullmatch(name)} == set()


def test_boundaries_must_rise() -> None:
    with pytest.raises(ValidationError, match="strictly increasing"):
        NumericStatistics(mean=0.0, std=1.0, boundaries=(1.0, 1.0))


@pytest.mark.parametrize("key", ["vocabularies", "numeric_statistics", "label_names"])
def test_a_spec_must_fit_its_model(key: str) -> None:
    spec = {
        "model": MODEL,
        "train_files": ["a.parquet"],
        "validation_files": [],
        "vocabularies": {"user_id": "v.parquet"},
        "numeric_statistics": {"price": {"mean": 0.0, "std": 1.0}},
        "negative_sampling_rate": 0.5,
        "output_dir": "out",
    }
    TrainSpec.model_validate(spec)

    with pytest.raises(ValidationError, match=rf"{key} must name .* unknown \['other'\]"):
        TrainSpec.model_validate(spec | {key: {"other": [] if key == "label_names" else spec_value(key)}})


def spec_value(key: str) -> Any:
    return "v.parquet" if key == "vocabularies" else {"mean": 0.0, "std": 1.0}


def test_the_config_loads_without_torch_or_spark() -> None:
    code = "import sys, mtl_model.config; sys.exit(bool({'torch', 'pyspark'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
