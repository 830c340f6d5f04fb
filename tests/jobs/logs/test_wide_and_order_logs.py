"""The logs of docs/sources.md, mapped by the YAML that stands there."""

import logging
import re
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import TypeAdapter
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.catalog import REPOSITORY
from jobs.logs.config import MappedLogs
from jobs.logs.judge_events import count_rows, judge, select_events, select_quarantined
from jobs.logs.mapped_source import MappedSource
from tests.jobs.logs.mapped_log import mapped_logs, mapping, write_csv

EXPOSURES = """row,user,video,time_ms,clicked,liked,play_ms,duration_ms
1,u1,v1,1649376000000,1,1,8200,9000
2,u1,v2,1649376060000,0,0,600,15000
3,u2,v1,1649379600000,1.0,0,3000,9000
4,u3,v3,1649383200000,2,0,x,0
5,u3,v4,soon,1,1,9000,0
"""
ORDERS = """invoice,item,title,quantity,at,unit_price,customer,country
1,P1,WHITE MUG,6,2010-12-01 08:26:00,2.55,17850.0,France
1,P2,?,2,2010-12-01 08:26:00,3.39,17850.0,France
C2,P1,WHITE MUG,-1,2010-12-01 09:41:00,2.55,14527.0,Spain
3,POST,POSTAGE,1,2010-12-01 10:03:00,18.00,12583.0,France
4,P2,RED LANTERN,1,2010-12-01 11:00:00,0.001,,Spain
5,P2,RED LANTERN,4,2010-12-02 11:00:00,3.391,17850.0,Spain
6,P3,FREE,0,2010-12-02 11:00:00,1,17850.0,Spain
7,P3,BELL,1,2010-12-02 12:00:00,0.001,17850.5,Spain
8,P3,BELL,1,2010-12-02 12:00:00,0.001,17851.0,Spain
9,P3,BELL,1,2010-12-02 12:00:00,5,test-9,Spain
"""


def documented(folder: Path, first: str) -> MappedLogs:
    """The log of the page whose first day it is, with its files in a folder."""
    page = (REPOSITORY / "docs" / "sources.md").read_text()
    logs = [yaml.safe_load(block)["logs"] for block in re.findall(r"```yaml\n(.*?)```", page, re.S)]
    log = next(log for log in logs if str(log["first_day"]) == first)
    return TypeAdapter(MappedLogs).validate_python({**log, "path": str(folder)})


def judged(spark: SparkSession, logs: MappedLogs) -> DataFrame:
    days = (logs.first_day, date(2030, 1, 1))
    return judge(MappedSource(logs).read_events(spark, days, days[1]), logs, days[1]).cache()


def books(rows: DataFrame) -> Counter[str]:
    total: Counter[str] = Counter()
    for row in count_rows(rows).drop("ds", "source").collect():
        total.update(row.asDict())
    return +total


def test_each_thing_that_followed_an_exposure_is_an_event(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "wide_exposures.csv").write_text(EXPOSURES)

    rows = judged(spark, documented(tmp_path, "2022-04-08"))

    events = {(row.event_id, row.context["play_ms"]) for row in select_events(rows).collect()}
    assert events == {
        ("1:impression", "8200"), ("1:click", "8200"), ("1:like", "8200"), ("1:long_view", "8200"),
        ("2:impression", "600"), ("3:impression", "3000"), ("3:click", "3000"), ("3:long_view", "3000"),
        ("4:impression", "x"),
    }  # fmt: skip
    reasons = [row.reason for row in select_quarantined(rows).collect()]
    assert sorted(reasons) == ["event_time is no time", "event_type is unknown", "event_type is unknown"]
    assert books(rows) == Counter(read=12, kept=9, quarantined=3)


def test_returns_guests_and_free_rows_of_an_order_log(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "orders_with_returns.csv").write_text(ORDERS)

    rows = judged(spark, documented(tmp_path, "2010-12-01"))

    names = ("event_type", "user_id", "item_id", "quantity", "value")
    assert {tuple(row[name] for name in names) for row in select_events(rows).collect()} == {
        ("purchase", "17850", "P1", 6, 1530), ("purchase", "17850", "P2", 2, 678),
        ("return", "14527", "P1", 1, 255), ("purchase", "12583", "POST", 1, 1800),
        ("purchase", "17850", "P2", 4, 1356),
    }  # fmt: skip
    reasons = [row.reason for row in select_quarantined(rows).collect()]
    assert sorted(reasons) == ["price is less than its smallest unit", "user_id is no whole number"]
    assert books(rows) == Counter(read=10, kept=5, quarantined=2, filtered=3, rounded=1)


def test_of_several_rows_the_most_frequent_or_the_newest_values_are_taken_with_a_warning(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "orders_with_returns.csv").write_text(ORDERS)
    source = MappedSource(documented(tmp_path, "2010-12-01"))

    with caplog.at_level(logging.WARNING):
        items = {row.item_id: row.title for row in source.read_items(spark).collect()}
        users = {row.user_id: row.attributes["country"] for row in source.read_users(spark).collect()}

    assert items == {"P1": "WHITE MUG", "P2": "RED LANTERN", "P3": "BELL"}
    assert users == {
        "17850": "Spain",
        "14527": "Spain",
        "12583": "France",
        "17851": "Spain",
        "test-9": "Spain",
    }
    assert "title has several values for 2 of item_id, as for P2: the most frequent is taken" in caplog.text
    assert "attributes.country has several values for 1 of user_id, as for 17850: the newest" in caplog.text
    assert "1 rows are left out: `where` does not hold" in caplog.text


NUMBERS = {"user": [17850.0, 2.5, float("nan")], "item": [1, 2, 3], "action": [1.0, 0.0, 1.0]}


def test_floats_of_pandas_are_ids_and_codes(spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table({**NUMBERS, "ts": [1_512_129_600] * 3}), tmp_path / "events.parquet")
    events = mapping(
        files={"format": "parquet", "path": "events.parquet"}, price=None, quantity=None,
        user_id={"column": "user", "whole": True},
        event_type={"column": "action", "values": {1: "wave", 0: None}},
    )  # fmt: skip

    rows = judged(spark, mapped_logs(tmp_path, events))

    fates = [(row.user_id, row.event_type, row.reason, row.is_filtered) for row in rows.collect()]
    assert sorted(fates, key=str) == [
        ("17850", "wave", None, False),
        (None, "wave", "user_id is null", False),
        (None, None, "user_id is no whole number", False),
    ]


CONDITIONS: list[tuple[dict[str, Any], set[str]]] = [
    ({"code": {"given": True}}, {"a", "b", "x"}),
    ({"code": {"given": False}}, {"nobody"}),
    ({"code": {"one_of": [7, "ab*"]}}, {"a", "b"}),
    ({"code": {"none_of": ["?", "ab?d"]}}, {"nobody", "x"}),
    ({"code": {"at_least": 7, "at_most": 7}}, {"a", "b", "x"}),
    ({"code": {"at_least": 8}}, {"b", "x"}),
    ({"code": {"given": True}, "user": {"none_of": ["a", "b"]}}, {"x"}),
]


def test_rows_for_which_where_does_not_hold_are_counted_as_filtered(
    spark: SparkSession, tmp_path: Path
) -> None:
    codes = {"a": "7", "b": "abcd", "nobody": "", "x": "x.y"}
    rows = [
        {"ts": 1_512_129_600, "user": user, "item": "i", "action": "buy", "code": code}
        for user, code in codes.items()
    ]
    write_csv(tmp_path / "events.csv", rows)
    with (tmp_path / "events.csv").open("a") as file:
        file.write('1,"open\n')
    entries = [mapping(price=None, quantity=None, where=where) for where, _ in CONDITIONS]

    found = judged(spark, mapped_logs(tmp_path, *entries)).collect()

    kept = [row for row in found if not row.is_filtered and row.reason is None]
    by_entry: dict[str, set[str]] = {}
    for row in kept:
        by_entry.setdefault(row.event_id, set()).add(row.user_id)
    counts = Counter(row.user_id for row in kept)
    assert counts == Counter(user for _, users in CONDITIONS for user in users)
    assert len({(row.event_id, row.user_id) for row in kept}) == len(kept)
    assert [row.reason for row in found if row.reason and not row.is_filtered] == ["a quote is left open"] * 7


def test_entries_of_one_file_read_it_once(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv(tmp_path / "events.csv", [{"ts": 1_512_129_600, "user": "u", "item": "i", "action": "buy"}])
    entries = [
        mapping(price=None, quantity=None, event_type={"value": name}, surface={"value": name} if n else None)
        for n, name in enumerate(("view", "click", "purchase", "view"))
    ]

    logs = mapped_logs(tmp_path, *entries)
    MappedSource(logs).read_events(spark, (logs.first_day, date(2030, 1, 1)), date(2030, 1, 1)).explain()
    rows = judged(spark, logs)

    assert capsys.readouterr().out.count("MapInArrow") == 1
    assert Counter((row.event_type, row.surface) for row in rows.collect()) == Counter(
        [("view", None), ("click", "click"), ("purchase", "purchase"), ("view", "view")]
    )
    assert books(rows) == Counter(read=4, kept=4)
