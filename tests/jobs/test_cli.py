import json
import resource
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jobs.cli import COMMANDS, app
from jobs.lake.lake import Lake
from jobs.publish.publish_run import publish_run
from jobs.stage import make_run
from tests.jobs.publish.conftest import recommend

DAY = date(2017, 5, 1)


def nightshelf(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def published(lake: Lake, small_scenario: Path) -> str:
    """One published night; the path of its scenario."""
    recommend(lake, DAY, "r1")
    publish_run(make_run(str(small_scenario), DAY, "r1"), lake)
    return str(small_scenario)


@pytest.mark.parametrize("command", [command.__name__ for command in COMMANDS])
def test_every_command_teaches_by_example(command: str) -> None:
    result = nightshelf(command, "--help")

    assert result.exit_code == 0
    assert "Examples" in result.stdout
    assert f"nightshelf {command}" in result.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["validate"], ["run", "--help"]], ids=" ".join)
def test_help_and_validate_load_neither_spark_nor_torch(arguments: list[str]) -> None:
    code = (
        "import sys; from jobs.cli import app; app(sys.argv[1:], standalone_mode=False); "
        "print(sorted({'pyspark', 'torch', 'pyiceberg', 'pandas', 'duckdb'} & set(sys.modules)))"
    )

    command = [sys.executable, "-c", code, *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)

    assert answer.stdout.splitlines()[-1] == "[]"


def test_validate_tells_all_errors_and_exits_with_2(small_scenario: Path) -> None:
    text = small_scenario.read_text().replace("bought_before", "bougt_before").replace("surface:", "surfice:")
    small_scenario.write_text(text)

    result = nightshelf("validate", "--scenario", str(small_scenario))

    assert result.exit_code == 2
    assert "did you mean 'bought_before'" in result.stderr
    assert "did you mean 'surface'" in result.stderr


def test_an_unknown_scenario_exits_with_2() -> None:
    result = nightshelf("validate", "--scenario", "grocry")

    assert result.exit_code == 2
    assert "conf/ has grocery" in result.stderr


def test_plan_touches_nothing(home: Path, small_scenario: Path) -> None:
    result = nightshelf("plan", "--scenario", str(small_scenario), "--date", str(DAY))

    assert result.exit_code == 0
    assert "121 days, 0 of 121 there: events" in result.stdout
    assert not home.exists()


def test_plan_counts_what_is_built_and_changes_no_byte(published: str, home: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}

    result = nightshelf("plan", "--scenario", published, "--date", str(DAY))

    assert result.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before


@pytest.mark.parametrize(
    "arguments",
    [["tables"], ["query", "SELECT 1"], ["show", "--user", "u1"], ["lineage", "--date", "2017-05-01"],
     ["rollback", "--to", "r1"], ["report", "--date", "2017-05-01"]],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_reading_an_empty_home_says_so_and_makes_none(home: Path, arguments: list[str]) -> None:
    result = nightshelf(*arguments)

    assert result.exit_code == 1
    assert "has no tables yet" in result.stderr.replace("\n", " ")
    assert not home.exists()


def test_query_prints_csv_where_no_person_looks(published: str) -> None:
    sql = "SELECT user_id, channels FROM recommendations ORDER BY ALL LIMIT 1"

    result = nightshelf("query", sql, "--scenario", published)

    assert result.stdout == 'user_id,channels\nu1,"[""bought_before""]"\n'


def test_query_prints_json_lines(published: str) -> None:
    sql = "SELECT ds, rank, p_purchase FROM recommendations WHERE user_id = 'u1' ORDER BY rank"

    result = nightshelf("query", sql, "--format", "json", "--scenario", published)

    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"ds": "2017-05-01", "rank": 1, "p_purchase": 0.4},
        {"ds": "2017-05-01", "rank": 2, "p_purchase": 0.2},
    ]


def test_query_prints_a_table_for_people(published: str) -> None:
    result = nightshelf("query", "SELECT '[red]' AS colour", "--format", "table", "--scenario", published)

    assert result.stdout.split() == ["colour", "[red]"]


@pytest.mark.parametrize("sql", ["DROP TABLE recommendations", "SELECT colour FROM recommendations"])
def test_a_wrong_query_exits_with_2(published: str, sql: str) -> None:
    assert nightshelf("query", sql, "--scenario", published).exit_code == 2


def test_show_prints_titles_and_reasons(published: str) -> None:
    result = nightshelf("show", "--user", "u1", "--scenario", published)

    assert result.exit_code == 0
    for text in ("User u1", "2017-05-01", "Bread & butter", "bought <often>", "40.0%", "12.34 spent"):
        assert text in result.stdout, text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--user", "nobody"], "has no shelf on 2017-05-01", id="unknown user"),
        pytest.param(["--user", "u1", "--date", "2017-05-02"], "nothing is published", id="unpublished day"),
    ],
)
def test_show_says_what_there_is_not(published: str, arguments: list[str], message: str) -> None:
    result = nightshelf("show", *arguments, "--scenario", published)

    assert result.exit_code == 1
    assert message in result.stderr


def test_tables_lists_rows_and_days(published: str) -> None:
    result = nightshelf("tables", "--scenario", published)

    line = next(line for line in result.stdout.splitlines() if line.startswith("recommendations"))
    assert line.split()[:4] == ["recommendations", "6", "1", "2017-05-01"]


def test_lineage_is_a_tree_or_json(published: str) -> None:
    tree = nightshelf("lineage", "--table", "recommendations", "--date", str(DAY), "--scenario", published)
    as_json = nightshelf("lineage", "--date", str(DAY), "--json", "--scenario", published)

    assert "run-id r1" in tree.stdout
    assert json.loads(as_json.stdout)["written_by"]["run-id"] == "r1"


def test_rollback_says_what_readers_see(published: str) -> None:
    rolled_back = nightshelf("rollback", "--to", "r1", "--scenario", published)
    unknown = nightshelf("rollback", "--to", "r9", "--scenario", published)

    assert "readers see r1 again" in rolled_back.stdout
    assert (unknown.exit_code, "newest published runs: r1" in unknown.stderr) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--date", "yesterday"],
        ["run", "--date", "2019-01-01"],
        ["run", "--date", "2017-05-01", "--from-stage", "dream"],
        ["backtest", "--dates", "2017-12-02,soon"],
        ["query", "SELECT 1", "--format", "xml"],
        ["dance"],
    ],
    ids=" ".join,
)
def test_bad_usage_exits_with_2(home: Path, arguments: list[str]) -> None:
    result = nightshelf(*arguments)

    assert result.exit_code == 2
    assert not home.exists()


def test_validate_takes_less_than_two_seconds_of_work() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "jobs.cli", "validate"], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2
