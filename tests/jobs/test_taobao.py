"""The scenario taobao: on a small log of its shape up to the examples, on the real one up to shelves."""

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession

from jobs.candidates.tables import CANDIDATE_RECALL
from jobs.examples.tables import examples
from jobs.features.anchors import scoring_day
from jobs.features.declared_states import state_tables
from jobs.lake.catalog import REPOSITORY
from jobs.lake.lake import local_path
from jobs.nightly import run_night
from jobs.recommend.tables import RECOMMENDATIONS
from jobs.stage import make_run
from jobs.stages import BULK_STAGES, STAGES, load_stage
from mtl_model.data.arrow_reader import read_shard
from tests.jobs.taobao_log import write_taobao_log, write_taobao_scenario

LAST_DAY = date(2017, 12, 1)
DATA = REPOSITORY.parent / "shared" / "data" / "taobao_userbehavior_mb"


def build_tables(scenario: Path, home: Path, days: list[date]) -> dict[str, pa.Table]:
    """Every table from tiles to examples, after the bulk stages of each date.

    Rows come as they are read: two homes must have them in one order.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTSHELF_HOME", str(home))
        for day in days:
            run = make_run(str(scenario), day)
            for stage in BULK_STAGES:
                load_stage(stage)(run, run.lake(stage))
        tables = [made.table for stage in BULK_STAGES[1:] for made in STAGES[stage].makes(run.scenario)]
        kept = {table.name: scoring_day(run) for table in state_tables(run.scenario)}  # the older ones go
        return {table.name: run.lake().read_arrow(table, kept.get(table.name)) for table in tables}


def read_examples(scenario: Path, home: Path) -> list[list[int]]:
    """The examples of each row group as a training is dealt them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTSHELF_HOME", str(home))
        run = make_run(str(scenario), LAST_DAY)
        files = [Path(local_path(path)) for path in run.lake().files(examples(run.scenario))]
    tables = read_shard(files, ["example_id"], seed=3, epoch=0, rank=0, num_ranks=1)
    return [table["example_id"].to_pylist() for table in tables]


def test_nights_one_after_the_other_equal_one_bulk_build_of_a_shuffled_log(
    spark: SparkSession, tmp_path: Path
) -> None:
    logs = [write_taobao_log(tmp_path / f"log{order}", order) for order in (0, 1)]
    nightly, bulk = (
        write_taobao_scenario(tmp_path / f"{number}.yaml", log, features={"user_files_per_day": 2})
        for number, log in enumerate(logs)
    )

    by_night = build_tables(nightly, tmp_path / "a", [LAST_DAY - timedelta(days=2), LAST_DAY])
    at_once = build_tables(bulk, tmp_path / "b", [LAST_DAY])

    assert by_night["examples"].num_rows > 0
    for name, table in by_night.items():
        assert table.equals(at_once[name]), name
    assert read_examples(nightly, tmp_path / "a") == read_examples(bulk, tmp_path / "b")
    rows = at_once["examples"]
    for label in ("label_favorite", "label_cart", "label_purchase"):
        assert set(rows[label].to_pylist()) == {0, 1}
    assert rows["user_item_cart_time_since"].null_count < rows.num_rows


@pytest.mark.acceptance
def test_the_real_log_becomes_shelves(spark: SparkSession, home: Path) -> None:
    if not DATA.is_dir():
        pytest.skip(f"the log is not at {DATA}")

    run = run_night("taobao", date(2017, 12, 2))

    lake = run.lake()
    recall = {row["channel"]: row["recall"] for row in lake.read_arrow(CANDIDATE_RECALL).to_pylist()}
    assert recall["acted_on"] > 0.05
    labels = lake.read_arrow(examples(run.scenario))
    assert all(pc.sum(labels[task.label]).as_py() > 1000 for task in run.scenario.model.tasks)
    shelves = lake.read_arrow(RECOMMENDATIONS)
    assert len(pc.unique(shelves["user_id"])) > 31_000
    assert shelves["p_purchase"].null_count == 0
