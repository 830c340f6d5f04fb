import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from mtl_model.config import TrainSpec
from mtl_model.training.process_group import join_process_group
from mtl_model.training.train import train
from tests.mtl_model.conftest import damage

MakeSpec = Callable[..., TrainSpec]


def run_alone(spec: TrainSpec) -> None:
    with join_process_group() as group:
        train(spec, group)


def read_history(spec: TrainSpec) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (spec.output_dir / "history.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "balancing",
    [
        {"name": "uncertainty"},
        {"name": "imtl_l"},
        {"name": "dwa", "window_steps": 7},
        {"name": "famo"},
        {"name": "gradnorm"},
        {"name": "pcgrad"},
    ],
    ids=lambda balancing: balancing["name"],
)
def test_a_broken_off_training_goes_on_and_ends_with_the_same_weights(
    make_spec: MakeSpec, tmp_path: Path, balancing: dict[str, Any]
) -> None:
    final = tmp_path / "final.parquet"
    model = json.loads(make_spec().model.model_dump_json()) | {"balancing": balancing, "dropout": 0.1}
    changes = {"final_files": [str(final)], "model": model}
    whole, broken = (make_spec(output, changes=changes) for output in ("whole", "broken"))
    table = pq.read_table(whole.train_files[0])
    pq.write_table(table, final)
    run_alone(whole)

    damage(final)
    with pytest.raises(OSError, match="page header"):
        run_alone(broken)
    pq.write_table(table, final)
    run_alone(broken)

    first, second = (load_file(spec.output_dir / "model.safetensors") for spec in (whole, broken))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert read_history(broken)[-1]["task_weights"] == read_history(whole)[-1]["task_weights"]


def test_a_task_without_a_labelled_row_is_null_in_the_history_and_absent_from_tensorboard(
    make_spec: MakeSpec,
) -> None:
    model = json.loads(make_spec().model.model_dump_json()) | {"balancing": {"name": "uncertainty"}}
    spec = make_spec(num_rows=600, epochs=1, changes={"model": model})
    for path in spec.train_files:
        table = pq.read_table(path)
        pq.write_table(table.filter(pc.is_valid(table["label_purchase"])), path)

    run_alone(spec)

    line = read_history(spec)[0]
    assert line["task_losses"]["purchase"] > 0
    assert line["task_losses"]["coupon"] is None
    assert line["task_weights"]["purchase"] > 0.5  # its loss is below 1, so its variance falls
    assert line["task_weights"]["coupon"] is None
    weighted = line["task_losses"]["purchase"] + 0.5 * line["task_losses"]["spend"]
    assert line["loss"] == pytest.approx(weighted)
    events = EventAccumulator(str(spec.output_dir / "tensorboard"))
    events.Reload()
    assert {tag for tag in events.Tags()["scalars"] if "/" in tag} == {
        "loss/purchase",
        "loss/spend",
        "weight/purchase",
        "weight/spend",
    }
