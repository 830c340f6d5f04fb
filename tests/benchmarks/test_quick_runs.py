import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bench_venv import REPO, REQUIREMENTS, STAMP


def run_quickly(benchmark: str, *arguments: str) -> list[dict[str, Any]]:
    completed = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{benchmark}", "--quick", *arguments],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert completed.returncode == 0, completed.stderr
    return [json.loads(line) for line in completed.stdout.splitlines()]


@pytest.mark.slow
def test_weak_scaling_is_the_rate_of_two_processes_by_that_of_one() -> None:
    (result,) = run_quickly("ddp")

    assert (result["name"], result["unit"]) == ("2 processes / 1 fp32", "rows/s")
    assert result["ratio"] == pytest.approx(result["ours"] / result["rival"], rel=0.01)


@pytest.mark.slow
@pytest.mark.skipif(
    not STAMP.is_file() or STAMP.read_text() != REQUIREMENTS.read_text(),
    reason="the rivals are not installed: python -m benchmarks.training_step --quick installs them",
)
def test_training_steps_are_compared_with_the_faster_rival() -> None:
    names = ["mmoe 1M ids fp32", "aitm 1M ids fp32"]

    results = {result["name"]: result for result in run_quickly("training_step", "--only", *names)}

    assert list(results) == [name for one in names for name in (one, f"{one} memory")]
    for name in names:
        assert results[name]["unit"].startswith("rows/s, against ")
        assert results[name]["ratio"] == pytest.approx(
            results[name]["ours"] / results[name]["rival"], rel=0.02
        )
        assert 0 < results[f"{name} memory"]["cost_ratio"] < 2


@pytest.mark.slow
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
