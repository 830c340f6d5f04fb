from datetime import date
from pathlib import Path

import pytest

from jobs.exit_codes import QueryError
from jobs.lake.catalog import open_catalog
from jobs.lake.lake import Lake
from jobs.publish.publications import PUBLISHED, Publication, publish, utc_now
from jobs.publish.publish_run import current_snapshots
from jobs.publish.query import run_query
from tests.jobs.publish.conftest import recommend

DAY = date(2017, 5, 1)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """One published night; a quote in the run's name must not end a string."""
    home = tmp_path_factory.mktemp("published")
    lake = Lake(open_catalog(home, {}), "small", home)
    recommend(lake, DAY, "r'1")
    snapshots = current_snapshots(lake)
    publish(lake, Publication(DAY, "r'1", utc_now(), PUBLISHED, "m1", snapshots))
    return lake


def test_a_select_is_answered_with_its_columns(published: Lake) -> None:
    answer = run_query(published, "SELECT user_id, rank FROM latest_recommendations ORDER BY ALL LIMIT 1")

    assert (answer.columns, list(answer.rows)) == (["user_id", "rank"], [("u1", 1)])


@pytest.mark.parametrize(
    "sql", ["FROM users_of_mars", "SELECT colour FROM recommendations", "SELEC 1", "SELECT 1/0 + 'a'"]
)
def test_a_wrong_query_says_what_is_wrong(published: Lake, sql: str) -> None:
    with pytest.raises(QueryError, match=r".+"):
        list(run_query(published, sql).rows)


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW recommendations",
        "DROP VIEW recommendations",
        "CREATE TABLE mine AS SELECT * FROM recommendations",
        "INSERT INTO recommendations SELECT * FROM recommendations",
        "DELETE FROM recommendations",
        "COPY recommendations TO '{folder}/stolen.csv'",
        "COPY (SELECT 1) TO '{folder}/stolen.parquet'",
        "EXPORT DATABASE '{folder}/stolen'",
        "ATTACH '{folder}/other.db'",
        "ATTACH ':memory:' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '100GB'",
        "SET enable_external_access = true",
        "RESET memory_limit",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "PREPARE p AS SELECT 1",
        "USE memory",
        "VACUUM",
        "EXPLAIN ANALYZE SELECT 1",
    ],
)
def test_anything_but_one_select_is_refused(published: Lake, tmp_path: Path, sql: str) -> None:
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(QueryError, match="only one SELECT is allowed"):
        run_query(published, sql.replace("{folder}", str(tmp_path)))

    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_csv('/etc/passwd')",
        "FROM '/etc/passwd'",
        "FROM read_text('/etc/passwd')",
        "FROM read_blob('/etc/../etc/passwd')",
        "FROM glob('/etc/*')",
        "FROM read_parquet('{folder}/secret.parquet')",
        "FROM parquet_metadata('{folder}/secret.parquet')",
        "FROM read_json('{folder}/home/**')",
        "FROM 'https://example.org/x.parquet'",
        "FROM duckdb_secrets()",
        "FROM query('COPY (SELECT 1) TO ''{folder}/stolen.csv''')",
        "WITH gone AS (DELETE FROM recommendations RETURNING *) FROM gone",
        "FROM recommendations UNION ALL FROM read_csv('/etc/passwd')",
        "SELECT getenv('HOME')",
        "FROM published",
        "FROM small.recommendations",
    ],
)
def test_a_select_reaches_nothing_but_the_tables(published: Lake, tmp_path: Path, sql: str) -> None:
    (tmp_path / "secret.parquet").write_bytes(b"PAR1")

    with pytest.raises(QueryError, match=r"Permission|does not exist|single SELECT|base table"):
        list(run_query(published, sql.replace("{folder}", str(tmp_path))).rows)

    assert not list(tmp_path.glob("stolen*"))


def test_a_query_that_never_ends_is_stopped(published: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.publish.query._TIME_LIMIT_SECONDS", 0.2)

    with pytest.raises(QueryError, match="maximum execution time"):
        list(run_query(published, "SELECT sum(sin(a.range)) FROM range(10000000000) a").rows)


def test_hostile_ids_are_data(published: Lake) -> None:
    answer = run_query(published, "SELECT DISTINCT run_id FROM recommendations")

    assert list(answer.rows) == [("r'1",)]
