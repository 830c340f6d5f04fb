"""A whole night over the small log, as an operator runs it: once, once more, and the next night."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jobs.cli import app
from jobs.config import load_scenario
from tests.published_night import DAY, PublishedNight

SUNDAY = DAY + timedelta(days=1)  # when twins are due


@pytest.fixture
def scenario(published_night: PublishedNight, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NIGHTSHELF_HOME", str(published_night.home))
    return str(published_night.scenario)


def nightshelf(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def home_of(scenario: str) -> Path:
    return Path(scenario).parent / "home"


def content_digests(scenario: str, day: date = DAY) -> dict[str, str]:
    """Table, or weights -> digest, as `nightshelf digest` prints it."""
    printed = nightshelf("digest", "--scenario", scenario, "--date", str(day), "--json")
    digests: dict[str, str] = json.loads(printed.stdout)
    return digests


def test_a_night_publishes_a_shelf_for_every_household(scenario: str) -> None:
    sql = (
        "SELECT count(DISTINCT user_id) AS users, count(*) AS rows, "
        "count(DISTINCT (user_id, item_id)) AS pairs, count_if(reason IS NULL) AS unexplained, "
        "count_if(cardinality(model_reasons) = 3) AS explained_by_the_model "
        "FROM latest_recommendations"
    )

    found = json.loads(nightshelf("query", sql, "--format", "json", "--scenario", scenario).stdout)

    counts = {"users": 60, "rows": 600, "pairs": 600}
    assert found == counts | {"unexplained": 0, "explained_by_the_model": 600}


def test_the_joint_model_learns_more_than_the_constant(scenario: str) -> None:
    sql = "SELECT role, value FROM task_metrics WHERE task = 'purchase' AND metric = 'auc'"

    lines = nightshelf("query", sql, "--format", "json", "--scenario", scenario).stdout.splitlines()

    auc = {row["role"]: row["value"] for row in map(json.loads, lines)}
    assert auc["candidate"] > auc["constant"] + 0.2


def test_a_night_says_which_fields_the_model_goes_by(scenario: str) -> None:
    wanted = "count(DISTINCT field) AS fields, max(loss) AS loss"
    sql = f"SELECT {wanted} FROM field_importance WHERE task = 'purchase'"

    found = json.loads(nightshelf("query", sql, "--format", "json", "--scenario", scenario).stdout)

    assert found["fields"] == len(load_scenario(scenario).model.columns)
    assert found["loss"] > 0.002


def test_a_recommendation_can_be_traced_to_the_log(scenario: str) -> None:
    tree = nightshelf(
        "lineage", "--table", "recommendations", "--date", str(DAY), "--scenario", scenario
    ).stdout

    for step in ("recommendations", "model_runs", "examples", "user_features", "events", "the behaviour log"):
        assert step in tree, step


def test_the_same_night_twice_gives_equal_tables_and_the_next_night_adds_a_day(scenario: str) -> None:
    before = content_digests(scenario)

    again = nightshelf("run", "--scenario", scenario, "--date", str(DAY))
    after = content_digests(scenario)
    next_night = nightshelf("run", "--scenario", scenario, "--date", str(SUNDAY))

    assert (again.exit_code, next_night.exit_code) == (0, 0)
    assert {table for table in before if before[table] != after[table]} == set()
    days = nightshelf("query", "SELECT DISTINCT ds FROM recommendations ORDER BY 1", "--scenario", scenario)
    assert days.stdout.split() == ["ds", str(DAY), str(SUNDAY)]
    report = (home_of(scenario) / "reports" / "small" / f"{SUNDAY}.html").read_text(encoding="utf-8")
    assert "The joint model against a single-task twin of each task" in report
    of_sunday = "SELECT ds, diagnostic, status FROM diagnostics WHERE diagnostic = 'twin_gains' ORDER BY ds"
    outcomes = nightshelf("query", of_sunday, "--scenario", scenario).stdout.split()[1:]
    assert outcomes == [f"{DAY},twin_gains,skipped", f"{SUNDAY},twin_gains,measured"]
