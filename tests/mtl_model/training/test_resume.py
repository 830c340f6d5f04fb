import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mtl_model.config import TrainSpec
from tests.mtl_model.conftest import MODEL
from tests.mtl_model.training.test_train import same, torchrun, train_by_torchrun, weights

MakeSpec = Callable[..., TrainSpec]
TRAIN_WITH_LEDGER = Path(__file__).with_name("train_with_ledger.py")
NUM_ROWS, BATCH_SIZE, EPOCHS = 1000, 100, 2
NEVER = (-1, -1)


def train(spec: TrainSpec, num_processes: int, ledger: Path, kill: tuple[int, int] = NEVER) -> bool:
    """Whether it came to its end; `kill`: the rank that ends by kill -9 and the step where it does."""
    spec_file = ledger.with_name("spec.json")
    spec_file.write_text(spec.model_dump_json())
    completed = torchrun(num_processes, TRAIN_WITH_LEDGER, spec_file, ledger, *map(str, kill))
    assert completed.returncode == 0 or "SIGKILL" in completed.stderr, completed.stderr
    return completed.returncode == 0


def read_ledger(prefix: Path, num_processes: int) -> dict[int, list[int]]:
    """What each step took, on all ranks together."""
    taken: dict[int, list[int]] = {}
    for rank in range(num_processes):
        for line in Path(f"{prefix}-{rank}").read_text().splitlines():
            entry = json.loads(line)
            taken.setdefault(entry["step"], []).extend(entry["examples"])
    return taken


def test_killed_ranks_resumed_on_other_numbers_of_processes_take_each_example_once(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    settings: dict[str, float] = {"num_processes": 2, "global_batch_size": BATCH_SIZE, "epochs": EPOCHS}
    settings |= {"checkpoint_every_steps": 3, "field_masking": 0.1, "sequence_masking": 0.1}
    whole, broken, changed = (
        make_spec(name, NUM_ROWS, **settings) for name in ("whole", "broken", "changed")
    )
    first, second = sorted(random.Random(8).sample(range(4, 18), 2))

    assert train(whole, 2, tmp_path / "whole")
    assert not train(broken, 2, tmp_path / "broken1", kill=(1, second))
    assert train(broken, 2, tmp_path / "broken2")
    assert not train(changed, 2, tmp_path / "changed1", kill=(1, first))
    assert not train(changed, 1, tmp_path / "changed2", kill=(0, second))
    assert train(changed, 2, tmp_path / "changed3")

    assert same(weights(whole), weights(broken))
    ledgers = [
        read_ledger(tmp_path / f"changed{number}", count) for number, count in ((1, 2), (2, 1), (3, 2))
    ]
    assert max(ledgers[0]) == first
    assert min(ledgers[1]) == (first - 1) // 3 * 3 + 1  # from the checkpoint on
    assert min(ledgers[2]) == (second - 1) // 3 * 3 + 1
    taken = [examples for _, examples in sorted((ledgers[0] | ledgers[1] | ledgers[2]).items())]
    assert len(taken) % EPOCHS == 0
    for epoch in range(EPOCHS):
        steps = taken[epoch * len(taken) // EPOCHS : (epoch + 1) * len(taken) // EPOCHS]
        assert sorted(example for step in steps for example in step) == list(range(NUM_ROWS))
    unbroken = read_ledger(tmp_path / "whole", 2)
    assert [sorted(step) for step in taken] == [sorted(unbroken[step]) for step in sorted(unbroken)]


def test_a_loss_that_is_not_finite_is_told_by_the_rank_that_has_the_row(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    minutes = {"name": "minutes", "head": "regression", "label": "label_minutes", "loss_weight": 0.1}
    model = MODEL | {"tasks": [*MODEL["tasks"], minutes]}
    model |= {"training": MODEL["training"] | {"num_processes": 2, "epochs": 1}}
    spec = make_spec(num_rows=NUM_ROWS, changes={"model": model})
    for path in spec.train_files:
        table = pq.read_table(path)
        position = table.column_names.index("label_minutes")
        labels = [
            3e38 if example == 777 else label  # finite, but not its square
            for example, label in zip(
                table["example_id"].to_pylist(), table["label_minutes"].to_pylist(), strict=True
            )
        ]
        column = pa.array(labels, pa.float64())
        pq.write_table(table.set_column(position, "label_minutes", column), path, row_group_size=150)

    completed = train_by_torchrun(spec, tmp_path)

    assert completed.returncode != 0
    assert re.search(
        r"loss of task minutes is not finite in step \d+, in 1 of \d+ rows, among them example_id \[777\]",
        completed.stderr,
    )
