"""What `model.transfer` does inside a training."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError

from mtl_model.config import TrainSpec, WarmStart
from mtl_model.data.encode import Batch
from mtl_model.training.process_group import join_process_group
from mtl_model.training.train import Trainer, train

MakeSpec = Callable[..., TrainSpec]
TARGET = {"name": "dear", "column": "price", "at_least": 5.0}
ROWWISE = {"embedding_optimizer": "rowwise_adagrad", "embedding_learning_rate": 0.05}


def with_transfer(
    make_spec: MakeSpec, transfer: dict[str, Any], parts: dict[str, Any], **training: Any
) -> TrainSpec:
    model = json.loads(make_spec(**training).model.model_dump_json())
    model |= {"slices": [TARGET], "transfer": transfer} | parts
    return make_spec(num_rows=400, changes={"model": model})


@pytest.mark.parametrize("embeddings", [{}, ROWWISE], ids=["adamw", "rowwise_adagrad"])
@pytest.mark.parametrize("balancing", ["fixed", "mgda"])
def test_frozen_parts_stay_until_they_thaw(
    make_spec: MakeSpec, embeddings: dict[str, Any], balancing: str
) -> None:
    freeze = {"parts": ["embedding", "towers"], "epochs": 1}
    parts = {"balancing": {"name": balancing}}
    spec = with_transfer(
        make_spec, {"freeze": freeze}, parts, global_batch_size=100, weight_decay=0.1, **embeddings
    )

    with join_process_group() as group, closing(Trainer(spec, group)) as trainer:
        thaws_after = trainer.passes[0].last_step
        states = [{name: rows.clone() for name, rows in trainer.model.state_dict().items()}]
        batches = [batch for one_pass in trainer.passes for batch in trainer._batches(one_pass)]
        trainer.model.train()
        for step, batch in enumerate(batches[: thaws_after + 1], start=1):
            trainer.train_step(batch, step)
            if step >= thaws_after:
                states.append({name: rows.clone() for name, rows in trainer.model.state_dict().items()})

    first, frozen, thawed = states
    for name, tensor in first.items():
        is_frozen = name.split(".")[0] in {"embedding", "towers"}
        assert torch.equal(frozen[name], tensor) == is_frozen, name
        assert not torch.equal(thawed[name], frozen[name]), name


def losses_of(spec: TrainSpec) -> tuple[Batch, list[float], float]:
    """The first batch, the loss of each task on it and the penalty."""
    with join_process_group() as group, closing(Trainer(spec, group)) as trainer:
        batch = next(trainer._batches(trainer.passes[0]))
        counts = trainer._count_rows(batch)
        loss = trainer.transfer.align(trainer._joint_loss(batch, counts[1:], 1), batch)
        task_losses = [task_loss.item() for task_loss in loss.task_losses]
        return batch, task_losses, loss.penalty.item() if isinstance(loss.penalty, torch.Tensor) else 0.0


def test_rows_weigh_in_the_loss_as_the_domain_classifier_says(make_spec: MakeSpec) -> None:
    weighting = {"target": "dear", "instance_weighting": {"passes": 20}}
    plain_batch, plain, _ = losses_of(with_transfer(make_spec, {}, {}))
    batch, weighed, _ = losses_of(with_transfer(make_spec, weighting, {}))

    assert torch.equal(plain_batch.ids, batch.ids)
    assert set(plain_batch.weights.tolist()) == {1.0}
    assert len(set(batch.weights.tolist())) > 100
    assert all(first != second for first, second in zip(plain, weighed, strict=True))


@pytest.mark.parametrize("name", ["mmd", "coral"])
@pytest.mark.parametrize("sharing", ["shared_bottom", "mmoe", "single_task"])
def test_the_distance_of_the_domains_is_part_of_the_loss(
    make_spec: MakeSpec, name: str, sharing: str
) -> None:
    hidden = {"expert_hidden_dims": [8], "num_experts": 2} if sharing == "mmoe" else {"hidden_dims": [8]}
    parts = {"sharing": {"name": sharing} | hidden}
    transfer = {"target": "dear", "alignment": {"name": name, "weight": 2.0}}

    batch, _, penalty = losses_of(with_transfer(make_spec, transfer, parts))
    _, _, halved = losses_of(
        with_transfer(make_spec, {**transfer, "alignment": {"name": name, "weight": 1.0}}, parts)
    )

    assert 0 < batch.is_target.float().mean() < 1
    assert penalty > 0
    assert penalty == pytest.approx(2 * halved)


def write_source_alone(spec: TrainSpec) -> None:
    """No training row is of the target domain any more."""
    for path in spec.train_files:
        table = pq.read_table(path)
        position = table.column_names.index("price")
        pq.write_table(table.set_column(position, "price", pa.array([1.0] * len(table))), path)


def test_a_batch_of_one_domain_has_no_distance(make_spec: MakeSpec) -> None:
    transfer = {"target": "dear", "alignment": {"name": "mmd", "weight": 2.0}}
    spec = with_transfer(make_spec, transfer, {})
    write_source_alone(spec)

    assert losses_of(spec)[2] == 0.0


@pytest.mark.parametrize(("weights", "carries_on"), [("judged", True), ("model", False)])
def test_only_a_night_that_carries_on_may_bring_no_target_rows(
    make_spec: MakeSpec, caplog: pytest.LogCaptureFixture, weights: str, carries_on: bool
) -> None:
    spec = with_transfer(make_spec, {"target": "dear", "instance_weighting": {}}, {})
    with join_process_group() as group:
        train(spec, group)
    write_source_alone(spec)
    start = {"model_dir": spec.output_dir, "weights": weights}
    second = spec.model_copy(
        update={"warm_start": WarmStart.model_validate(start), "output_dir": spec.output_dir.with_name("2")}
    )

    if carries_on:
        batch, _, _ = losses_of(second)
        assert set(batch.weights.tolist()) == {1.0}
        assert re.search(
            r"both domains, found \d+ source and 0 target rows among those that are", caplog.text
        )
    else:
        with pytest.raises(ValueError, match="and 0 target rows: look at the bounds"):
            losses_of(second)


@pytest.mark.parametrize(
    ("transfer", "message"),
    [
        ({"target": "dear"}, "nothing else does; target is 'dear'"),
        ({"alignment": {"name": "mmd", "weight": 1.0}}, "alignment need a target"),
        ({"target": "old", "instance_weighting": {}}, r"target 'old' is none of the slices \['dear'\]"),
        (
            {"target": "dear", "instance_weighting": {"excluded_fields": ["colour"]}},
            r"excluded_fields \['colour'\] are no fields",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    make_spec: MakeSpec, transfer: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        with_transfer(make_spec, transfer, {})
