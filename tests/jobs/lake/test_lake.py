from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from threading import Barrier, Thread

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.buckets import buckets_of
from jobs.lake.columns import Column, Table
from jobs.lake.data_files import DataFile, bucket_of, file_order
from jobs.lake.files import write_files
from jobs.lake.lake import Lake, local_path

DAY = date(2017, 12, 2)
NEXT_DAY = DAY + timedelta(days=1)
VISITS = Table(
    name="visits",
    meaning="Who came how often.",
    ds_is="day",
    key=("user_id",),
    columns=(Column("user_id", "string", "who"), Column("count", "long", "how often")),
    files_per_day=2,
)

Rows = list[tuple[date | None, str | None, int]]


@pytest.fixture
def visits(spark: SparkSession) -> Callable[[Rows], DataFrame]:
    return lambda rows: spark.createDataFrame(rows, "ds date, user_id string, count long")


def content(lake: Lake, table: Table = VISITS) -> list[tuple[object, ...]]:
    return sorted((tuple(row.values()) for row in lake.read_arrow(table).to_pylist()), key=repr)


def test_replacing_a_day_twice_leaves_its_rows_once(lake: Lake, visits: Callable[[Rows], DataFrame]) -> None:
    rows = visits([(DAY, "a", 1), (DAY, "b", 2)])

    lake.replace_days(rows, VISITS, (DAY, DAY))
    written = lake.replace_days(rows, VISITS, (DAY, DAY))

    assert written == 2
    assert content(lake) == [(DAY, "a", 1), (DAY, "b", 2)]


def test_an_empty_result_removes_the_rows_of_before(lake: Lake, visits: Callable[[Rows], DataFrame]) -> None:
    lake.replace_days(visits([(DAY, "a", 1), (NEXT_DAY, "b", 2)]), VISITS, (DAY, NEXT_DAY))

    lake.replace_days(visits([]), VISITS, (DAY, DAY))

    assert content(lake) == [(NEXT_DAY, "b", 2)]


def test_other_days_are_left_alone(lake: Lake, visits: Callable[[Rows], DataFrame]) -> None:
    lake.replace_days(visits([(DAY, "a", 1)]), VISITS, (DAY, DAY))
    lake.replace_days(visits([(NEXT_DAY, "b", 2)]), VISITS, (NEXT_DAY, NEXT_DAY))

    lake.replace_days(visits([(DAY, "c", 3)]), VISITS, (DAY, DAY))

    assert content(lake) == [(DAY, "c", 3), (NEXT_DAY, "b", 2)]


def test_a_replaced_day_is_one_snapshot(lake: Lake, visits: Callable[[Rows], DataFrame]) -> None:
    for count in (1, 2, 3):
        lake.replace_days(visits([(DAY, "a", count)]), VISITS, (DAY, DAY))

    summaries = [snapshot.summary for snapshot in lake.load(VISITS).metadata.snapshots]
    assert [(of["total-records"], of["deleted-records"]) for of in summaries if of] == [
        ("1", None),
        ("1", "1"),
        ("1", "1"),
    ]
    table = lake.load(VISITS)
    manifests = table.current_snapshot().manifests(table.io)  # type: ignore[union-attr]
    assert len(manifests) == 2  # what the last commit added and what it removed, not all before


def test_days_before_another_are_dropped_by_the_same_commit(
    lake: Lake, visits: Callable[[Rows], DataFrame]
) -> None:
    days = (DAY - timedelta(days=2), DAY)
    lake.replace_days(visits([(day, "a", 1) for day in (days[0], DAY)]), VISITS, days)
    table = lake.load(VISITS)
    files = write_files(visits([(NEXT_DAY, "b", 2)]), VISITS, table.location(), 1)

    lake.commit(VISITS, (NEXT_DAY, NEXT_DAY), files, drop_before=DAY)

    assert content(lake) == [(DAY, "a", 1), (NEXT_DAY, "b", 2)]
    assert lake.built_days(VISITS) == [(DAY, NEXT_DAY)]
    assert len(lake.load(VISITS).metadata.snapshots) == 2


def test_null_keys_and_hostile_ids_come_back_as_they_went_in(
    lake: Lake, visits: Callable[[Rows], DataFrame]
) -> None:
    ids = [None, "", "null", "NaN", "00042", "'; DROP TABLE visits", "../../etc/passwd", "🛒", "e\u0301", "é"]

    lake.replace_days(visits([(DAY, user, 1) for user in ids]), VISITS, (DAY, DAY))

    assert sorted(lake.read_arrow(VISITS)["user_id"].to_pylist(), key=repr) == sorted(ids, key=repr)


def test_rows_outside_the_replaced_days_are_refused(lake: Lake, visits: Callable[[Rows], DataFrame]) -> None:
    with pytest.raises(ValueError, match="not within 2017-12-02 to 2017-12-02"):
        lake.replace_days(visits([(NEXT_DAY, "a", 1)]), VISITS, (DAY, DAY))

    assert content(lake) == []


@pytest.mark.parametrize(
    ("days", "message"),
    [
        pytest.param(None, "no column ds", id="no ds column"),
        pytest.param([None, None], "rows without ds", id="null"),
        pytest.param([DAY, None], "rows without ds", id="one null"),
        pytest.param([NEXT_DAY, NEXT_DAY], "should hold ds=2017-12-02", id="another day"),
        pytest.param([DAY, NEXT_DAY], "should hold ds=2017-12-02", id="two days"),
    ],
)
def test_a_file_must_carry_its_day(
    lake: Lake, tmp_path: Path, days: list[date | None] | None, message: str
) -> None:
    columns: dict[str, pa.Array] = {"user_id": pa.array(["a", "b"]), "count": pa.array([1, 2])}
    if days is not None:
        columns = {"ds": pa.array(days, pa.date32()), **columns}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    file = DataFile(f"file://{tmp_path / 'rows.parquet'}", DAY, 2)

    with pytest.raises(ValueError, match=message):
        lake.commit(VISITS, (DAY, DAY), [file])

    assert content(lake) == []


def test_missing_and_unknown_columns_are_named(lake: Lake, spark: SparkSession) -> None:
    rows = spark.createDataFrame([(DAY, "a", 1)], "ds date, user_id string, counts long")

    with pytest.raises(
        ValueError, match=r"visits: missing columns \['count'\], unknown columns \['counts'\]"
    ):
        lake.replace_days(rows, VISITS, (DAY, DAY))


def test_of_two_writers_of_one_day_the_rows_of_one_remain(
    lake: Lake, visits: Callable[[Rows], DataFrame], spark: SparkSession
) -> None:
    lake.load(VISITS)
    writers = [
        Thread(target=lake.replace_days, args=(visits([(DAY, "a", n), (DAY, "b", n)]), VISITS, (DAY, DAY)))
        for n in (1, 2)
    ]

    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert content(lake) in ([(DAY, "a", 1), (DAY, "b", 1)], [(DAY, "a", 2), (DAY, "b", 2)])


def test_the_first_tables_of_a_home_can_be_created_at_once(lake: Lake) -> None:
    num_tables = 8
    tables = [replace(VISITS, name=f"visits_{n}") for n in range(num_tables)] * 2  # each of them twice
    start = Barrier(len(tables))

    def create(table: Table) -> str:
        start.wait()
        return lake.load(table).name()[1]

    with ThreadPoolExecutor(len(tables)) as threads:
        created = list(threads.map(create, tables))

    assert created == [table.name for table in tables]
    assert all(len(lake.load(table).spec().fields) == 1 for table in tables)


def test_equal_rows_give_equal_files_on_any_number_of_partitions(
    lake: Lake, spark: SparkSession, home: Path
) -> None:
    rows = spark.range(2_000).selectExpr(
        "DATE '2017-12-02' + CAST(id % 2 AS INT) AS ds", "CAST(id AS STRING) AS user_id", "id AS count"
    )
    contents = []
    for partitions, shuffled in ((1, rows), (7, rows.repartition(5)), (3, rows)):
        lake.num_partitions = partitions
        lake.replace_days(shuffled, VISITS, (DAY, NEXT_DAY))
        contents.append([pq.read_table(local_path(path), partitioning=None) for path in lake.files(VISITS)])

    assert len(contents[0]) == 4
    for other in contents[1:]:
        assert all(one.equals(same) for one, same in zip(contents[0], other, strict=True))


def test_files_come_by_day_and_bucket_whatever_they_are_called(
    lake: Lake, visits: Callable[[Rows], DataFrame]
) -> None:
    days = [DAY, NEXT_DAY]
    many = replace(VISITS, name="many_visits", files_per_day=12)  # more than nine: no order of texts
    expected = [(day, bucket) for day in days for bucket in range(12)]

    for _ in range(2):
        users: Rows = [(day, f"u{user}", 1) for day in days for user in range(200)]
        lake.replace_days(visits(users), many, (DAY, NEXT_DAY))
        by_day = lake.files_by_day(many, (DAY, NEXT_DAY))

        assert [place_in_table(path) for path in lake.files(many)] == expected
        assert [place_in_table(path) for paths in by_day.values() for path in paths] == expected
        assert [bucket_of(path) for path in by_day[DAY]] == list(range(12))


def place_in_table(path: str) -> tuple[date, int]:
    """The day and the bucket of a file, by its rows."""
    rows = pq.read_table(local_path(path), partitioning=None)
    buckets = set(buckets_of(rows["user_id"], 12).tolist())
    assert len(buckets) == 1
    return rows["ds"][0].as_py(), buckets.pop()


def test_the_files_of_a_bucket_come_as_their_tasks_made_them() -> None:
    names = ["f" * 12 + "-2-0-0-1", "a" * 12 + "-10-0-0-1", "0" * 12 + "-2-1-3-1", "e" * 12 + "-40-0-0-0"]
    paths = [f"file:///home/visits/data/2017-12-02/{name}.parquet" for name in names]
    earlier = "file:///home/visits/data/2017-12-01/0123456789ab-0-0-0-9.parquet"

    assert sorted([*paths, earlier], key=file_order) == [earlier, paths[3], paths[0], paths[2], paths[1]]


def test_a_file_of_records_has_no_bucket(lake: Lake) -> None:
    lake.append(VISITS, [{"ds": DAY, "user_id": "a", "count": 1}], replacing={"user_id": "a"})
    (path,) = lake.files(VISITS)

    with pytest.raises(ValueError, match="names no bucket"):
        bucket_of(path)


def test_numbers_are_packed_by_their_differences_and_texts_are_looked_up(
    lake: Lake, visits: Callable[[Rows], DataFrame]
) -> None:
    lake.replace_days(visits([(DAY, "a", 1)]), VISITS, (DAY, DAY))

    (path,) = lake.files(VISITS)
    _, user_id, count = (pq.read_metadata(local_path(path)).row_group(0).column(index) for index in range(3))
    assert "DELTA_BINARY_PACKED" in count.encodings
    assert "RLE_DICTIONARY" in user_id.encodings


def test_days_are_dealt_out_evenly_to_the_tasks(lake: Lake, spark: SparkSession) -> None:
    rows = spark.range(2_000).selectExpr(
        "DATE '2017-12-02' + CAST(id % 6 AS INT) AS ds", "CAST(id AS STRING) AS user_id", "id AS count"
    )

    files = write_files(rows, VISITS, lake.load(VISITS).location(), num_partitions=4)

    tasks = Counter(file.path.rsplit("-", 4)[1] for file in files)
    assert VISITS.files_per_day == 2
    assert tasks == {str(task): 3 for task in range(4)}


def test_what_was_built_is_remembered_also_where_it_was_empty(
    lake: Lake, visits: Callable[[Rows], DataFrame]
) -> None:
    lake.replace_days(visits([]), VISITS, (DAY, NEXT_DAY))

    assert lake.built_days(VISITS) == [(DAY, NEXT_DAY)]
    assert lake.built_days(VISITS, "of other files") == []


def test_a_table_gains_the_columns_that_its_schema_gained(
    lake: Lake, visits: Callable[[Rows], DataFrame], spark: SparkSession
) -> None:
    lake.replace_days(visits([(DAY, "a", 1)]), VISITS, (DAY, DAY))
    wider = Table("visits", "", "day", ("user_id",), (*VISITS.columns, Column("spend", "long", "cents")))

    new = spark.createDataFrame([(NEXT_DAY, "b", 2, 30)], "ds date, user_id string, count long, spend long")
    lake.replace_days(new, wider, (NEXT_DAY, NEXT_DAY))

    assert [row.spend for row in lake.read(spark, wider).orderBy("ds").collect()] == [None, 30]
    assert content(lake, wider) == [(DAY, "a", 1, None), (NEXT_DAY, "b", 2, 30)]


def test_records_of_a_run_replace_only_their_own(lake: Lake) -> None:
    for run, count in (("r1", 1), ("r2", 2), ("r1", 3)):
        lake.append(VISITS, [{"ds": DAY, "user_id": run, "count": count}], replacing={"user_id": run})

    assert content(lake) == [(DAY, "r1", 3), (DAY, "r2", 2)]


def test_records_that_match_are_removed_and_no_others(lake: Lake) -> None:
    matching = {"ds": DAY, "user_id": "r1"}
    lake.remove(VISITS, matching)  # there is no table yet
    for run in ("r1", "r2"):
        lake.append(VISITS, [{"ds": DAY, "user_id": run, "count": 1}], replacing={"user_id": run})

    for _ in range(2):
        lake.remove(VISITS, matching)

    assert content(lake) == [(DAY, "r2", 1)]


def test_every_snapshot_names_its_run_and_what_it_read(
    lake: Lake, visits: Callable[[Rows], DataFrame], spark: SparkSession
) -> None:
    lake.lineage = {"run-id": "r1"}
    lake.replace_days(visits([(DAY, "a", 1)]), VISITS, (DAY, DAY))
    copies = Table("copies", "", "day", ("user_id",), VISITS.columns)

    lake.replace_days(lake.read(spark, VISITS), copies, (DAY, DAY))

    summary = lake.load(copies).current_snapshot().summary.additional_properties  # type: ignore[union-attr]
    assert summary["nightshelf.run-id"] == "r1"
    assert summary["nightshelf.inputs"] == f'{{"visits": {lake.snapshot_id(VISITS)}}}'


def test_a_table_as_of_an_older_snapshot_can_still_be_read(
    lake: Lake, visits: Callable[[Rows], DataFrame]
) -> None:
    lake.replace_days(visits([(DAY, "a", 1)]), VISITS, (DAY, DAY))
    before = lake.snapshot_id(VISITS)
    lake.replace_days(visits([(DAY, "b", 2)]), VISITS, (DAY, DAY))

    rows = lake.read_arrow(VISITS, (DAY, DAY), before)

    assert rows["user_id"].to_pylist() == ["a"]


def test_duckdb_polars_pyiceberg_and_spark_read_the_same_rows(
    lake: Lake, visits: Callable[[Rows], DataFrame], spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    rows = [(DAY, "a", 1), (NEXT_DAY, "b", 2)]
    lake.replace_days(visits([*rows]), VISITS, (DAY, NEXT_DAY))
    table = lake.load(VISITS)
    files = [local_path(file) for file in lake.files(VISITS)]

    by_engine = {
        "pyiceberg": [tuple(row.values()) for row in table.scan().to_arrow().to_pylist()],
        "duckdb": duckdb.execute("FROM read_parquet($1)", [files]).fetchall(),
        "polars": pl.scan_iceberg(table).collect().rows(),
        "spark": [tuple(row) for row in lake.read(spark, VISITS).collect()],
    }

    assert {engine: sorted(found) for engine, found in by_engine.items()} == dict.fromkeys(by_engine, rows)


def test_forgotten_days_are_built_again_and_keep_their_rows(
    lake: Lake, visits: Callable[[Rows], DataFrame]
) -> None:
    days = (DAY, DAY + timedelta(days=2))
    lake.replace_days(visits([(DAY, "a", 1), (NEXT_DAY, "b", 2)]), VISITS, days)

    lake.forget_days(VISITS, [(NEXT_DAY, NEXT_DAY)])
    lake.forget_days(VISITS, [])

    assert lake.built_days(VISITS) == [(DAY, DAY), (days[1], days[1])]
    assert content(lake) == [(DAY, "a", 1), (NEXT_DAY, "b", 2)]


def test_a_table_that_was_never_written_has_nothing_to_forget(lake: Lake) -> None:
    lake.forget_days(VISITS, [(DAY, DAY)])

    assert lake.find(VISITS) is None
