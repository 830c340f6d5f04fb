import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from mtl_model.balancing.build_balancer import BALANCERS
from mtl_model.config import TrainSpec
from mtl_model.evaluation.evaluate import evaluate
from mtl_model.predict import load_predictor
from mtl_model.training.process_group import join_process_group
from mtl_model.training.train import train
from tests.mtl_model.conftest import FACTORIZATION, HASHED_LISTS, LIST_FIELDS, damage
from tests.mtl_model.training.steps_on_ranks import NUM_STEPS, share_of

MakeSpec = Callable[..., TrainSpec]
STEPS_ON_RANKS = Path(__file__).with_name("steps_on_ranks.py")
METHODS = list(BALANCERS)
ROWWISE = {"embedding_optimizer": "rowwise_adagrad", "embedding_learning_rate": 0.05}


def run_alone(spec: TrainSpec) -> None:
    with join_process_group() as group:
        train(spec, group)


def torchrun(num_processes: int, *command: str | Path) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    return subprocess.run(
        [*launcher, str(num_processes), *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def train_by_torchrun(
    spec: TrainSpec, tmp_path: Path, *others: TrainSpec
) -> subprocess.CompletedProcess[str]:
    """The spec, then the others, by the same processes."""
    files = [tmp_path / f"spec{number}.json" for number in range(1 + len(others))]
    for path, content in zip(files, (spec, *others), strict=True):
        path.write_text(content.model_dump_json())
    num_processes = spec.model.training.num_processes
    return torchrun(num_processes, "-m", "mtl_model.training.train", "--spec", *files)


def read_history(spec: TrainSpec) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (spec.output_dir / "history.jsonl").read_text().splitlines()]


def weights(spec: TrainSpec) -> dict[str, torch.Tensor]:
    return load_file(spec.output_dir / "model.safetensors")


def vocabularies_of(spec: TrainSpec, model: dict[str, Any]) -> dict[str, str]:
    """Those of the spec, and of the departments where the model reads them."""
    paths = {name: str(path) for name, path in spec.vocabularies.items()}
    own = {"departments"} & {field["name"] for field in model["fields"]}
    return paths | {name: str(Path(paths["user_id"]).with_name(f"{name}.parquet")) for name in own}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_two_processes_learn_and_what_they_saved_serves(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(num_rows=6000, num_processes=2, epochs=20)

    completed = train_by_torchrun(spec, tmp_path)

    assert completed.returncode == 0, completed.stderr
    metrics = json.loads((spec.output_dir / "metrics.json").read_bytes())
    assert metrics["purchase"]["auc"] > 0.75
    assert metrics["purchase"]["calibration"] == pytest.approx(1.0, abs=0.15)
    assert metrics["spend"]["normalised_gini"] > 0.5
    assert metrics["interest"]["auc"] > 0.95
    assert metrics["coupon"]["auc"] > 0.95
    assert evaluate(spec.output_dir, spec.validation_files)["purchase"]["auc"] == metrics["purchase"]["auc"]
    history = read_history(spec)
    assert history[-1]["loss"] < history[0]["loss"]
    assert set(history[0]["task_losses"]) == {"purchase", "spend", "interest", "coupon"}
    assert list((spec.output_dir / "tensorboard").iterdir())
    predictions = load_predictor(spec.output_dir).predict(pq.read_table(spec.validation_files[0]))
    assert {task: rows.shape for task, rows in predictions.items()} == {
        "purchase": (3000,),
        "spend": (3000,),
        "interest": (3000, 3),
        "coupon": (3000,),
    }


SEVERAL = [(2,), pytest.param((2, 4), marks=pytest.mark.acceptance)]  # numbers of processes


def without_key_biases(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Attention's key biases move no output: their gradients are rounding, which Adam makes steps of."""
    name = "self_attn.in_proj_bias"
    return {
        key: torch.cat([weight.chunk(3)[0], weight.chunk(3)[2]]) if key.endswith(name) else weight
        for key, weight in weights.items()
    }


@pytest.mark.parametrize("counts", SEVERAL, ids=str)
def test_several_processes_take_the_steps_of_one(
    make_spec: MakeSpec, tmp_path: Path, counts: tuple[int, ...]
) -> None:
    variants: dict[str, dict[str, Any]] = {name: {"balancing": {"name": name}} for name in METHODS}
    model = json.loads(make_spec(**ROWWISE).model.model_dump_json())
    rowwise = {"training": model["training"]}
    variants |= {
        f"{name}_rowwise": variants[name] | rowwise for name in ("fixed", "famo", "gradnorm", "mgda")
    }
    stem = {"name": "stem", "num_shared_experts": 1, "num_task_experts": 1, "expert_hidden_dims": [8]}
    variants["stem_rowwise"] = {"sharing": stem | {"task_fields": ["user_id"]}} | rowwise
    model = json.loads(make_spec().model.model_dump_json())
    lists = {"fields": [*model["fields"], *LIST_FIELDS, *HASHED_LISTS]}
    factors = {"fields": [*model["fields"], *LIST_FIELDS], "factorization": FACTORIZATION}
    of_one_task = factors | {"sharing": {"name": "single_task", "hidden_dims": [8]}}
    variants |= {"lists": lists, "lists_rowwise": lists | rowwise, "factors_rowwise": factors | rowwise}
    variants |= {
        "factors_of_one_task": of_one_task,
        "factors_mgda": factors | {"balancing": {"name": "mgda"}},
    }
    slices = [{"name": "dear", "column": "price", "at_least": 5.0}]
    for distance in ("mmd", "coral"):
        alignment = {"name": distance, "weight": 5.0, "max_rows": 9}
        variants[distance] = {"slices": slices, "transfer": {"target": "dear", "alignment": alignment}}
    weighting = {"target": "dear", "instance_weighting": {"passes": 3}}
    freeze = {"parts": ["embedding", "towers"]}
    variants["weighted"] = {"slices": slices, "transfer": weighting | {"freeze": freeze}}
    tasks = [task | {"detached": task["name"] == "coupon"} for task in model["tasks"]]
    variants |= {
        f"detached_{name}": {"tasks": tasks, "balancing": {"name": name}} for name in ("stch", "mgda")
    }
    variants["mmd_mgda"] = variants["mmd"] | {"balancing": {"name": "mgda"}}
    variants |= {
        f"{name}_bf16": variants[name] | {"training": model["training"] | {"precision": "bf16"}}
        for name in ("fixed", "mgda")
    }
    specs = []
    for name, parts in variants.items():
        specs.append(tmp_path / f"{name}.json")
        changes = {"model": model | parts, "vocabularies": vocabularies_of(make_spec(), model | parts)}
        specs[-1].write_text(make_spec(num_rows=1000, changes=changes).model_dump_json())

    for count in (1, *counts):
        (tmp_path / str(count)).mkdir()
        completed = torchrun(count, STEPS_ON_RANKS, tmp_path / str(count), *specs)
        assert completed.returncode == 0, completed.stderr

    labels = pq.read_table(make_spec(num_rows=1000).train_files[0])["label_coupon"].to_pylist()
    labelled = [
        [any(label is not None for label in labels[share_of(step, rank, 4)]) for rank in range(4)]
        for step in range(NUM_STEPS)
    ]
    assert any(any(ranks) and not all(ranks) for ranks in labelled)  # a rank without a label
    for name in variants:
        alone, *others = (
            without_key_biases(load_file(tmp_path / str(count) / f"{name}.safetensors"))
            for count in (1, *counts)
        )
        for several in others:
            if name.endswith("_bf16"):
                differences = [(several[weight] - alone[weight]).abs().mean() for weight in alone]
                assert 0 < max(differences) < 1e-3, (name, differences)
            else:
                torch.testing.assert_close(several, alone, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize(
    "embeddings",
    [pytest.param({}, id="adamw", marks=pytest.mark.acceptance), pytest.param(ROWWISE, id="rowwise_adagrad")],
)
def test_two_processes_twice_give_the_same_weights_bit_for_bit(
    make_spec: MakeSpec, tmp_path: Path, embeddings: dict[str, Any]
) -> None:
    stopping = {"task": "purchase", "metric": "auc", "patience": 1}
    settings = {"num_processes": 2, "epochs": 6, "early_stopping": stopping} | embeddings
    specs = [make_spec(output, num_rows=1000, **settings) for output in ("one", "two", "three")]

    for started_with in (specs[:1], specs[1:]):
        completed = train_by_torchrun(started_with[0], tmp_path, *started_with[1:])
        assert completed.returncode == 0, completed.stderr

    assert all(same(weights(specs[0]), weights(spec)) for spec in specs[1:])
    first, second, _ = (json.loads((spec.output_dir / "early_stopping.json").read_bytes()) for spec in specs)
    assert first == second
    auc = evaluate(specs[0].output_dir, specs[0].validation_files)["purchase"]["auc"]  # by one process
    assert auc == first["values"][first["best_epoch"]] == max(first["values"])


@pytest.mark.parametrize("reader", ["arrow", "petastorm"])
@pytest.mark.parametrize("embeddings", [{}, ROWWISE], ids=["adamw", "rowwise_adagrad"])
def test_lists_and_hashed_ids_are_read_learned_saved_and_scored(
    make_spec: MakeSpec, reader: str, embeddings: dict[str, Any]
) -> None:
    model = json.loads(make_spec(epochs=2, reader=reader, **embeddings).model.model_dump_json())
    model["fields"] += [*LIST_FIELDS, *HASHED_LISTS]
    spec = make_spec(
        num_rows=600, changes={"model": model, "vocabularies": vocabularies_of(make_spec(), model)}
    )

    run_alone(spec)

    rows = pq.read_table(spec.validation_files[0])
    predictor = load_predictor(spec.output_dir)
    known, unknown = (
        predictor.predict(rows.set_column(rows.column_names.index(name), name, lists))["purchase"]
        for name, lists in [
            ("departments", pa.array([["grocery"]] * len(rows))),
            ("departments", pa.array([["never seen"]] * len(rows))),
        ]
    )
    assert not np.allclose(known, unknown)
    assert len(list((spec.output_dir / "vocabularies").iterdir())) == 3


@pytest.mark.parametrize("reader", ["arrow", "petastorm"])
def test_either_reader_twice_gives_the_same_weights_bit_for_bit_whatever_files_are_called(
    make_spec: MakeSpec, tmp_path: Path, reader: str
) -> None:
    specs = [make_spec(output, num_rows=1000, epochs=2, reader=reader) for output in ("one", "two")]
    renamed = [tmp_path / "train-z.parquet", tmp_path / "train-a.parquet"]
    for path, new in zip(specs[1].train_files, renamed, strict=True):
        new.write_bytes(path.read_bytes())
    specs[1] = specs[1].model_copy(update={"train_files": tuple(renamed)})

    for spec in specs:
        run_alone(spec)

    assert same(weights(specs[0]), weights(specs[1]))


@pytest.mark.parametrize(
    ("dropout", "embeddings"),
    [
        pytest.param(0.0, {}, id="plain"),
        pytest.param(0.2, {}, id="dropout"),
        pytest.param(0.0, ROWWISE, id="rowwise_adagrad"),
    ],
)
def test_a_broken_off_training_goes_on_and_ends_with_the_same_weights(
    make_spec: MakeSpec, tmp_path: Path, dropout: float, embeddings: dict[str, Any]
) -> None:
    final = tmp_path / "final.parquet"
    table = pq.read_table(make_spec().train_files[0])
    model = json.loads(make_spec(**embeddings).model.model_dump_json()) | {"dropout": dropout}
    changes = {"final_files": [str(final)], "model": model}
    whole, broken = (make_spec(output, changes=changes) for output in ("whole", "broken"))
    pq.write_table(table, final)
    run_alone(whole)

    damage(final)
    with pytest.raises(OSError, match="page header"):
        run_alone(broken)
    checkpoints = list((tmp_path / "broken.partial" / "checkpoints").iterdir())
    pq.write_table(table, final)
    run_alone(broken)

    newest = max(path.name for path in checkpoints)
    assert newest.startswith("step-00000020-")  # in the middle of the third epoch
    assert same(weights(whole), weights(broken))
    steps = [line["step"] for line in read_history(broken)]
    assert steps == sorted(set(steps))


def test_the_final_pass_changes_the_weights_but_not_the_metrics(make_spec: MakeSpec) -> None:
    judged = make_spec("judged")
    final = make_spec("final", changes={"final_files": [str(path) for path in judged.validation_files]})

    run_alone(judged)
    run_alone(final)

    metrics = [json.loads((spec.output_dir / "metrics.json").read_bytes()) for spec in (judged, final)]
    assert metrics[0] == metrics[1]
    assert not same(weights(judged), weights(final))


def test_a_task_is_calibrated_on_rows_that_neither_train_nor_judge_it(
    make_spec: MakeSpec, write_examples: Callable[..., list[Path]]
) -> None:
    plain = make_spec("plain", num_rows=3000)
    tasks = [task.model_dump() for task in plain.model.tasks]
    tasks[0] |= {"calibration": "isotonic"}
    model = json.loads(plain.model.model_dump_json()) | {"tasks": tasks}
    files = [str(path) for path in write_examples("calibration", 3000, seed=3)]
    changes = {"model": model, "calibration_files": files}
    calibrated = make_spec("calibrated", num_rows=3000, changes=changes)

    run_alone(plain)
    run_alone(calibrated)

    assert same(weights(plain), weights(calibrated))
    metrics = [json.loads((spec.output_dir / "metrics.json").read_bytes()) for spec in (plain, calibrated)]
    assert metrics[1]["purchase"]["auc"] == pytest.approx(metrics[0]["purchase"]["auc"], abs=1e-6)
    assert metrics[1]["coupon"] == metrics[0]["coupon"]
    assert metrics[1]["purchase"]["log_loss"] != metrics[0]["purchase"]["log_loss"]
    fitted_on = evaluate(calibrated.output_dir, calibrated.calibration_files)["purchase"]
    before = evaluate(plain.output_dir, calibrated.calibration_files)["purchase"]
    assert fitted_on["calibration"] == pytest.approx(1.0, abs=1e-4)
    assert before["calibration"] != pytest.approx(1.0, abs=0.01)
    assert evaluate(calibrated.output_dir, plain.validation_files) == metrics[1]


def test_a_calibration_without_rows_of_its_own_is_refused(make_spec: MakeSpec) -> None:
    model = json.loads(make_spec().model.model_dump_json())
    model["tasks"][0] |= {"calibration": "platt"}

    with pytest.raises(ValueError, match=r"no calibration_files to calibrate \['purchase'\] on"):
        make_spec(changes={"model": model})


def test_a_finished_training_is_not_repeated_nor_overwritten(make_spec: MakeSpec) -> None:
    spec = make_spec(num_rows=300, epochs=1)
    run_alone(spec)
    written = (spec.output_dir / "model.safetensors").stat().st_mtime_ns

    run_alone(spec)

    assert (spec.output_dir / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(ValueError, match="exists and is of another spec"):
        run_alone(make_spec(num_rows=300, epochs=2))


def test_no_rows_to_train_on_is_an_error(make_spec: MakeSpec) -> None:
    spec = make_spec(num_rows=10)
    for path in spec.train_files:
        pq.write_table(pq.read_table(path).slice(0, 0), path)

    with pytest.raises(ValueError, match="no rows to train on in 2 files"):
        run_alone(spec)
