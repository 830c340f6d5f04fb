import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner, Result

from jobs.cli import app

SMALL = ("--users", "200", "--items", "400", "--days", "3", "--events", "5k")


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["simulate", *arguments])


def test_simulate_plans_writes_and_counts(spark: SparkSession, tmp_path: Path) -> None:
    result = simulate(*SMALL, "--faults", "late=0.1", "--to", str(tmp_path / "log"))

    assert result.exit_code == 0, result.stderr
    assert "5,000 rows in 8 landing days" in result.stdout
    assert "wrote" in result.stdout
    manifest = json.loads((tmp_path / "log" / "manifest.json").read_text())
    assert manifest["config"]["faults"]["late"] == 0.1
    assert manifest["rows"]["late_hours"] > 0


def test_simulate_refuses_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()

    result = simulate(*SMALL, "--to", str(tmp_path))

    assert result.exit_code == 1
    assert "--overwrite" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--events", "many"], "'many' is no number", id="count"),
        pytest.param(["--faults", "lte=0.1"], "'lte=0.1' is no fault", id="fault"),
        pytest.param(["--faults", "late=2"], "faults.late: ", id="share"),
        pytest.param(["--items", "3", "--days", "0"], "days: ", id="all errors at once"),
        pytest.param(["--format", "xml"], "format: ", id="format"),
    ],
)
def test_wrong_options_exit_with_2_and_write_nothing(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = simulate(*arguments, "--to", str(tmp_path / "log"))

    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "log").exists()
