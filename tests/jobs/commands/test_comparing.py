import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jobs.cli import app
from jobs.commands.comparing import print_rows
from jobs.lake.lake import Lake

ROW = {
    "sharing": "mmoe",
    "balancing": "fixed",
    "task": "click",
    "metric": "auc",
    "seeds": 1,
    "mean": 0.7,
    "ci_low": 0.69,
    "ci_high": 0.71,
    "twin": 0.72,
    "twin_tuning": "learning_rate0.5-width1-penalty1",
    "log_loss": 0.3125,
    "twin_log_loss": 0.25,
    "calibration": None,
    "twin_calibration": 1.0,
    "gain": -0.0278,
    "gain_low": -0.04,
    "gain_high": -0.01,
    "verdict": "negative transfer",
    "parameters": 12_345,
    "rows_per_second": 6789.0,
    "twin_parameters": 54_321,
    "twin_rows_per_second": 1234.0,
}
OF_TASKS = ("mean", "ci_low", "ci_high", "twin", "twin_tuning", "log_loss", "twin_log_loss", "calibration")
AVERAGE = ROW | {"task": "average"} | dict.fromkeys(OF_TASKS)


def compare(scenario: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        app, ["compare", "--scenario", str(scenario), "--date", "2017-05-01", *arguments]
    )


@pytest.mark.parametrize(
    ("sharing", "message"),
    [
        pytest.param("mmo", "there is no way of sharing 'mmo'", id="unknown"),
        pytest.param("esmm", "esmm needs tasks joined by depends_on", id="does not fit"),
        pytest.param("mmoe", "has no tables yet", id="nothing has been run"),
    ],
)
def test_what_cannot_be_compared_is_told_before_anything_is_made(
    small_scenario: Path, home: Path, sharing: str, message: str
) -> None:
    result = compare(small_scenario, "--sharing", sharing)

    assert result.exit_code == 1
    assert message in result.stderr
    assert not home.exists()


@pytest.mark.parametrize("multiples", ["1,x", "0", "", "inf"])
def test_tunings_that_are_no_multiples_are_named(small_scenario: Path, multiples: str) -> None:
    result = compare(small_scenario, "--sharing", "mmoe", "--twin-widths", multiples)

    assert result.exit_code == 1
    assert "--twin-widths must be numbers above 0" in result.stderr


def test_a_night_without_examples_is_named(small_scenario: Path, lake: Lake) -> None:
    result = compare(small_scenario, "--sharing", "mmoe")

    assert result.exit_code == 1
    assert "examples has no rows for" in result.stderr


def test_rows_are_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([ROW, AVERAGE], as_json=True)
    lines = capsys.readouterr().out.splitlines()
    print_rows([ROW, AVERAGE], as_json=False)
    words = " ".join(capsys.readouterr().out.split())

    assert [json.loads(line) for line in lines] == [ROW, AVERAGE]
    expected = (
        "0.7000", "-2.78 %", "-4.00 to -1.00", "negative transfer", "0.3125 / 0.2500", "learning rate x 0.5",
        "mmoe, fixed 12,345 54,321 6,789 1,234",
    )  # fmt: skip
    assert [word for word in expected if word not in words] == []
