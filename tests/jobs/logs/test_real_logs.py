"""The real logs beside the repository, where they are there, and the examples of docs/sources.md."""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.catalog import REPOSITORY
from jobs.logs.config import MappedLogs
from jobs.logs.judge_events import count_rows, judge
from jobs.logs.mapped_source import MappedSource

DATA = REPOSITORY.parent / "shared" / "data"
MAPPINGS = Path(__file__).parent / "mappings"
GUIDE = REPOSITORY / "docs" / "sources.md"
ADAPTER = TypeAdapter(MappedLogs)


def load(name: str) -> MappedLogs:
    if not DATA.is_dir():
        pytest.skip(f"the real logs are not at {DATA}")
    return ADAPTER.validate_python(
        yaml.safe_load((MAPPINGS / f"{name}.yaml").read_text(encoding="utf-8"))["logs"]
    )


Judge = Callable[[MappedLogs], DataFrame]


@pytest.fixture
def judged(spark: SparkSession) -> Judge:
    def read(logs: MappedLogs) -> DataFrame:
        last = logs.last_day or date.max
        return judge(MappedSource(logs).read_events(spark, (logs.first_day, last), last), logs, last)

    return read


def books(rows: DataFrame) -> dict[str, int]:
    names = ("read", "kept", "duplicate", "late_held", "quarantined")
    row = count_rows(rows).agg(*[F.sum(name).alias(name) for name in names]).first()
    return row.asDict() if row else {}


def all_kept(count: int) -> dict[str, int]:
    return {"read": count, "kept": count, "duplicate": 0, "late_held": 0, "quarantined": 0}


@pytest.mark.acceptance
def test_taobao_has_nine_days_of_three_behaviours(judged: Judge) -> None:
    rows = judged(load("taobao"))

    assert books(rows) == all_kept(357_412)
    types = {row.event_type: row["count"] for row in rows.groupBy("event_type").count().collect()}
    assert types == {"purchase": 167_862, "cart": 140_068, "favorite": 49_482}
    days = {str(row.ds): row["count"] for row in rows.groupBy("ds").count().collect()}
    assert (len(days), days["2017-12-02"], days["2017-12-03"]) == (9, 39_912, 36_484)


@pytest.mark.acceptance
def test_movies_with_times_have_ratings_genres_and_demographics(spark: SparkSession, judged: Judge) -> None:
    logs = load("movies_100k")
    source = MappedSource(logs)

    assert books(judged(logs)) == all_kept(100_000)
    items = source.read_items(spark)
    assert items.count() == 1682
    assert items.where("size(category_path) > 0 AND title IS NOT NULL").count() == 1682
    assert source.read_users(spark).where("size(attributes) = 4").count() == 943


@pytest.mark.acceptance
def test_movies_without_times_have_one_day(spark: SparkSession, judged: Judge) -> None:
    logs = load("movies_1m")
    rows = judged(logs)

    assert books(rows) == all_kept(1_000_209)
    assert rows.select("ds").distinct().collect() == [(logs.first_day,)]
    folds = rows.select(F.col("context")["fold"].alias("fold")).distinct().count()
    assert (folds, MappedSource(logs).read_items(spark).count()) == (5, 3883)


@pytest.mark.acceptance
def test_a_shop_with_prices_is_exact_to_the_cent(spark: SparkSession, judged: Judge) -> None:
    rows = judged(load("rees46"))

    counts = books(rows)
    assert (counts["read"], counts["quarantined"]) == (17_434, 0)
    assert counts["kept"] + counts["duplicate"] == 17_434
    prices = rows.agg(F.min("price").alias("least"), F.max("price").alias("most")).first()
    assert prices is not None
    assert (prices.least, prices.most) == (0, 257_407)
    paths = MappedSource(load("rees46")).read_items(spark).where("size(category_path) > 1")
    assert paths.count() > 1000


def snippets() -> list[dict[str, Any]]:
    return [
        yaml.safe_load(text)
        for text in re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    ]


@pytest.mark.parametrize("snippet", snippets(), ids=lambda snippet: Path(snippet["logs"]["path"]).name)
def test_every_example_of_the_guide_is_valid(snippet: dict[str, Any]) -> None:
    assert ADAPTER.validate_python(snippet["logs"]).source == "mapped"


def test_every_row_of_the_tables_of_the_guide_is_a_valid_mapping() -> None:
    smallest = snippets()[0]["logs"]
    rows = re.findall(r"^\| `(\w.*?)` \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows
    for row in rows:
        column = yaml.safe_load(row)
        if "category_path" in column:
            continue
        logs = ADAPTER.validate_python({
            **smallest, "first_day": date(2000, 1, 1), "events": [{**smallest["events"][0], **column}],
        })  # fmt: skip
        assert next(iter(column)) in dict(logs.events[0].columns()) or "context" in column


def test_every_kind_of_files_in_the_guide_is_valid() -> None:
    smallest = snippets()[0]["logs"]
    rows = re.findall(r"^\| `(\{format.*?\})` \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) >= 5
    for row in rows:
        events = [{**smallest["events"][0], "files": yaml.safe_load(row)}]
        assert ADAPTER.validate_python({**smallest, "events": events}).events
