"""Files as others deliver them, with one mapping: kept whole, quarantined by name, or stopped by name."""

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.logs.judge_events import judge
from jobs.logs.mapped_source import MappedSource
from tests.jobs.logs.mapped_log import FIRST_DAY, LAST_DAY, mapped_logs, mapping, write_jsonl

STAMP = "2017-11-26 10:00:00"


def read(spark: SparkSession, folder: Path, path: str, **files: Any) -> DataFrame:
    """The judged rows of a file with the columns user, item, type and ts."""
    form = {"format": path.rsplit(".", 1)[-1], "path": path, **files}
    events = mapping(
        files=form, event_time="ts", event_type={"column": "type", "values": {"buy": "purchase"}},
        price=None, quantity=None, context={"title": "title"} if "title" in str(files) else None,
    )  # fmt: skip
    logs = mapped_logs(folder, events)
    return judge(MappedSource(logs).read_events(spark, (FIRST_DAY, LAST_DAY), LAST_DAY), logs, LAST_DAY)


def fates(rows: DataFrame) -> list[tuple[str | None, str | None]]:
    return sorted(((row.user_id, row.reason) for row in rows.collect()), key=str)


def line(user: str, item: str = "i") -> str:
    return f"{user},{item},buy,{STAMP}\n"


def row(user: str, **more: Any) -> Mapping[str, Any]:
    return {"user": user, "item": "i", "type": "buy", "ts": STAMP, **more}


HEADER = "user,item,type,ts\n"
USERS = ("José", "Josè", "Josê")


@pytest.mark.parametrize("name", ["e.csv", "e.jsonl"])
def test_users_of_another_encoding_are_quarantined_and_read_once_it_is_declared(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    file = write_jsonl(tmp_path / name, [row(user) for user in USERS])
    if name == "e.csv":
        file.write_text(HEADER + "".join(map(line, USERS)))
    file.write_bytes(file.read_text().encode("latin-1"))

    unread = read(spark, tmp_path, name).collect()
    declared = fates(read(spark, tmp_path, name, encoding="latin-1"))

    assert [found.reason for found in unread] == ["the line is not valid utf-8"] * 3
    assert all("Jos\\\\x" in found.row for found in unread)
    assert declared == sorted((user, None) for user in USERS)


def test_a_value_over_two_lines_is_whole_and_a_line_that_leaves_a_quote_open_is_quarantined(
    spark: SparkSession, tmp_path: Path
) -> None:
    columns = ["user", "item", "type", "ts", "title"]
    lines = [
        'a,i,buy,2017-11-26,"red\r\nshoe"',
        'b,i,buy,2017-11-26,"5 inch',
        'c,i,buy,2017-11-26,"5 ""in"""',
    ]
    (tmp_path / "e.csv").write_text("\r\n".join(lines), newline="")

    rows = read(spark, tmp_path, "e.csv", columns=columns).collect()

    assert {(found.user_id, found.reason, found.context.get("title")) for found in rows} == {
        ("a", None, "red\nshoe"), (None, "a quote is left open", None), ("c", None, '5 "in"'),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["e.csv", "e.jsonl"])
def test_content_of_another_kind_stops_the_night_by_name(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"user,item,type,ts\n"))

    with pytest.raises(ValueError, match=f"{name}: holds gzip, not text"):
        read(spark, tmp_path, name)


@pytest.mark.parametrize(
    "header",
    ["us\u2028er,user,item,type,ts\n", '"us\ner",user,item,type,ts\n'],
    ids=["U+2028", "a quoted end"],
)
def test_a_line_break_in_the_header_line_is_named(spark: SparkSession, tmp_path: Path, header: str) -> None:
    (tmp_path / "e.csv").write_text(header + "x," + line("u"))

    with pytest.raises(ValueError, match=r"e.csv: columns \['us.*er'\] of the header line have a line break"):
        read(spark, tmp_path, "e.csv")


def write(folder: Path, name: str, names: tuple[str, ...]) -> None:
    """One good row, with further columns of the given names."""
    whole = {**row("u"), **dict.fromkeys(names, "x")}
    if name == "e.csv":
        (folder / name).write_text(f"{','.join(whole)}\n{','.join(whole.values())}\n")
    elif name == "e.jsonl":
        write_jsonl(folder / name, [whole])
    else:
        pq.write_table(pa.table({column: [value] for column, value in whole.items()}), folder / name)


@pytest.mark.parametrize("name", ["e.csv", "e.jsonl", "e.parquet"])
def test_columns_that_differ_by_case_alone_are_named_where_they_are_mapped_and_else_ignored(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    write(tmp_path, name, ("Other", "OTHER"))
    assert fates(read(spark, tmp_path, name)) == [("u", None)]

    write(tmp_path, name, ("User",))
    with pytest.raises(ValueError, match=rf"{name}: columns User, user differ by case alone, and user_id is"):
        read(spark, tmp_path, name)


def test_words_for_nothing_are_no_users_unless_the_list_is_replaced(
    spark: SparkSession, tmp_path: Path
) -> None:
    words = ["NULL", "\\N", "NaN", "None", '" "']
    (tmp_path / "e.csv").write_text(HEADER + "".join(map(line, words)))

    assert fates(read(spark, tmp_path, "e.csv")) == [(None, "user_id is null")] * 5
    replaced = fates(read(spark, tmp_path, "e.csv", null_values=["None"]))
    assert replaced == [("NULL", None), ("NaN", None), ("\\N", None), *[(None, "user_id is null")] * 2]
