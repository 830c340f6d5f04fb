"""docs/training.md: the spec and the code of "Without the lake" do what the page says."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.mtl_model.training.test_train import torchrun

ROOT = Path(__file__).parents[3]
NUM_ROWS = 6000
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8").split("## Without the lake")[1]


def block(language: str) -> str:
    return str(re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)[0])


def make_rows(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, 20, NUM_ROWS), rng.integers(0, 30, NUM_ROWS)
    price = rng.uniform(1, 9, NUM_ROWS)
    clicked = rng.random(NUM_ROWS) < np.where(items % 3 == 0, 0.7, 0.1)
    content: dict[str, Any] = {
        "example_id": np.arange(NUM_ROWS) + NUM_ROWS * seed,
        "user_id": [f"u{user}" for user in users],
        "item_id": [f"i{item}" for item in items],
        "price": price,
        "label_click": clicked.astype(np.int32),
        "label_rating": pa.array(price / 2, mask=~clicked),
        "sampling_rate": np.ones(NUM_ROWS),
    }
    return pa.table(content)


def test_the_documented_spec_trains_a_model_that_the_documented_code_scores_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    pq.write_table(make_rows(1), "train.parquet")
    pq.write_table(make_rows(2), "validation.parquet")
    for name, count in (("users", 20), ("items", 30)):
        pq.write_table(
            pa.table({"value": [f"{name[0]}{number}" for number in range(count)]}), f"{name}.parquet"
        )
    Path("spec.json").write_text(block("json"), encoding="utf-8")
    command = block("sh").split()
    processes, module = command[command.index("--nproc-per-node") + 1], command.index("-m")

    completed = torchrun(int(processes), *command[module:])
    exec(block("python"), {})

    assert completed.returncode == 0, completed.stderr
    metrics = json.loads(Path("model/metrics.json").read_text(encoding="utf-8"))
    assert metrics["click"]["auc"] > 0.7
    assert metrics["rating"]["root_mean_squared_error"] < 1.5
    assert capsys.readouterr().out.count("[") == 2
