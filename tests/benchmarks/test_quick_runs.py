import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bench_venv import REPO, REQUIREMENTS, STAMP


def run_quickly(benchmark: str, *arguments: str) -> list[dict[str, Any]]:
    settings = {name: value for name, value in os.environ.items() if name != "NIGHTSHELF_RUNTIME"}
    completed = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{benchmark}", "--quick", *arguments],
        cwd=REPO,
        env=settings,  # the product's: Spark's UI tells what its tasks took
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert completed.returncode == 0, completed.stderr
    return [json.loads(line) for line in completed.stdout.splitlines()]


RIVALS_MISSING = pytest.mark.skipif(
    not STAMP.is_file() or STAMP.read_text() != REQUIREMENTS.read_text(),
    reason="the rivals are not installed: python -m benchmarks.training_step --quick installs them",
)


@pytest.mark.acceptance
def test_weak_scaling_is_the_rate_of_two_processes_by_that_of_one() -> None:
    results = run_quickly("ddp")

    assert [result["name"] for result in results] == [
        f"{processes} / 1 {precision}"
        for precision in ("fp32", "bf16")
        for processes in ("2 processes", "2 processes apart")
    ]
    for result in results:
        assert result["ratio"] == pytest.approx(result["ours"] / result["rival"], rel=0.01)


@pytest.mark.acceptance
def test_balancers_and_precisions_are_measured() -> None:
    balancers, precisions = run_quickly("balancing"), run_quickly("precision")

    assert [result["name"].split(" ")[0] for result in balancers] == ["mgda", "pcgrad", "nash_mtl", "upgrad"]
    assert all(result["cost_ratio"] > 0 for result in balancers)
    assert [result["name"] for result in precisions] == ["click AUC bf16 / fp32", "purchase AUC bf16 / fp32"]
    assert all(0 < abs(result["difference"]) < 0.05 for result in precisions)


@pytest.mark.acceptance
@RIVALS_MISSING
def test_training_steps_are_compared_with_the_faster_rival() -> None:
    results = {result["name"]: result for result in run_quickly("training_step", "--only", "aitm 1M ids")}

    names = ["aitm 1M ids bf16", "aitm 1M ids fp32"]
    both = "aitm 1M ids bf16, both"
    assert list(results) == [name for one in names for name in (one, f"{one} memory")] + [both]
    for name in (*names, both):
        assert results[name]["unit"].startswith("rows/s, against ")
        assert results[name]["ratio"] == pytest.approx(
            results[name]["ours"] / results[name]["rival"], rel=0.02
        )
    assert all(0 < results[f"{name} memory"]["cost_ratio"] < 2 for name in names)


@pytest.mark.acceptance
@RIVALS_MISSING
def test_whole_trainings_are_compared() -> None:
    (result,) = run_quickly("end_to_end_training", "--only", "mmoe 1M ids")

    assert result["name"] == "mmoe 1M ids end to end"
    assert result["ratio"] == pytest.approx(result["ours"] / result["rival"], rel=0.1)


@pytest.mark.acceptance
def test_a_new_category_is_judged_by_every_way_of_transfer() -> None:
    results = run_quickly("transfer", "--data", "shop")

    by_name = {result["name"].removeprefix("shop, new category "): result for result in results[::2]}
    ways = ["source alone", "warm start", "warm start, embeddings frozen"]
    mixed = ["mixed", "mixed, instance weighting", "mixed, mmd", "mixed, coral"]
    assert list(by_name) == ways + mixed
    quality = {name: result["ours"] for name, result in by_name.items() if name != "mixed, coral"}
    assert len(set(quality.values())) == len(quality)  # of so few rows coral changes less than is shown
    (alone,) = {result["rival"] for result in by_name.values()}
    assert 0.5 < alone < 1


@pytest.mark.acceptance
def test_features_of_a_night_equal_those_of_the_rescans(tmp_path: Path) -> None:
    """The benchmark itself compares the rows, and ends with an error where they differ."""
    results = {result["name"]: result for result in run_quickly("features", "--work-dir", str(tmp_path))}

    assert list(results) == [
        "night / rescan user",
        "night / rescan item",
        "night / rescan user x category",
        "features / duckdb",
        "90d / 7d",
        "90d / 7d user",
        "90d / 7d item",
        "90d / 7d user x category",
    ]
    assert all(result["unit"] == "ms" for result in results.values())
    one = results["night / rescan user"]
    assert one["ratio"] == pytest.approx(one["rival"] / one["ours"], rel=0.01)


@pytest.mark.acceptance
def test_time_is_measured_against_the_size_of_the_log(tmp_path: Path) -> None:
    """As far as the tiles, so that it is over soon; the exponents of such small logs mean nothing."""
    found = run_quickly("scaling", "--work-dir", str(tmp_path), "--through", "tiles")

    clocks = ("", " of processor time")
    assert [result["name"] for result in found] == [
        f"{stage} exponent{clock}" for clock in clocks for stage in ("ingest", "tiles")
    ]
    assert all(result["cost_ratio"] == result["ours"] for result in found)
    assert (tmp_path / "scaling.svg").read_text().count("<svg") == 1
    assert not list(tmp_path.glob("home-*"))
