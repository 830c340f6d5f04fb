from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.compare.twins_of_night import sample_files, sample_spec, train_twins
from jobs.learn.config import TwinsConfig
from jobs.stage import Run
from mtl_model.config import TrainSpec


def test_a_sample_has_the_first_rows_of_each_file_rounded_up(base_spec: TrainSpec, tmp_path: Path) -> None:
    rows = pq.read_table(base_spec.train_files[0])
    files = [base_spec.train_files[0], tmp_path / "empty.parquet", tmp_path / "small.parquet"]
    pq.write_table(rows.slice(0, 0), files[1])
    pq.write_table(rows.slice(0, 3), files[2])

    sampled = [pq.read_table(path) for path in sample_files(files, 0.1, tmp_path / "out")]

    assert [table.num_rows for table in sampled] == [200, 1]
    assert all(table.equals(rows.slice(0, table.num_rows)) for table in sampled)
    assert sample_spec(base_spec, 1.0, tmp_path) is base_spec


def test_twins_are_due_on_every_so_manyth_day(run: Run) -> None:
    def due_days(twins: TwinsConfig | None) -> int:
        learn = run.scenario.learn.model_copy(update={"twins": twins})
        return sum(learn.has_twins_on(run.date + timedelta(offset)) for offset in range(21))

    assert due_days(TwinsConfig(sample_rate=0.1, every_days=7)) == 3
    assert due_days(TwinsConfig(sample_rate=0.1)) == 21
    assert due_days(None) == 0


def test_each_task_is_told_what_joint_learning_gained_it(
    run: Run, base_spec: TrainSpec, tmp_path: Path
) -> None:
    tasks = tuple(task for task in base_spec.model.tasks if task.name == "purchase")
    model = base_spec.model.model_copy(update={"tasks": tasks})
    spec = base_spec.model_copy(update={"model": model, "label_names": {}})

    rows = train_twins(run, sample_spec(spec, 0.5, tmp_path / "sample"), tmp_path)

    assert [row["task"] for row in rows] == ["purchase", "average"]
    assert rows[0]["gain"] == pytest.approx(rows[0]["mean"] / rows[0]["twin"] - 1)
    assert rows[0]["gain_low"] <= rows[0]["gain"] <= rows[0]["gain_high"]
