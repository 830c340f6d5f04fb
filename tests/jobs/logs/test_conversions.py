from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from jobs.logs.columns_config import Mapped, MoneyColumn, NumberColumn, PathColumn, TimeColumn, WholeColumn
from jobs.logs.conversions import convert, present
from jobs.logs.files_config import CsvFiles

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HUGE = 10**30


def converted(
    spark: SparkSession, values: Sequence[Any], type_: str, mapped: Any, kind: str = "text"
) -> list[Any]:
    """Converts all values in one job; times come back as microseconds since 1970."""
    rows = spark.createDataFrame(list(enumerate(values)), f"n int, v {type_}")
    spark_type = rows.schema["v"].dataType
    column: Column = convert(present(F.col("v"), spark_type), spark_type, kind, mapped, "Asia/Shanghai")
    if isinstance(mapped, TimeColumn):
        column = F.unix_micros(column)
    return [row.v for row in rows.select("n", column.alias("v")).sort("n").collect()]


MONEY = {
    "0.29": 29, "1.005": 101, "1.004999": 100, "19.99": 1999, "-0.29": -29, "1e3": 100_000, "5": 500,
    "0.004999999999999999": 0, " 2.50 ": 250, "": None, None: None, "abc": None, "1,234.50": None,
    "NaN": None, "Infinity": None, str(HUGE): None, "99999999999999999.99": None,
}  # fmt: skip


def test_money_in_text_is_exact(spark: SparkSession) -> None:
    found = converted(spark, list(MONEY), "string", MoneyColumn(column="v", decimals=2))

    assert dict(zip(MONEY, found, strict=True)) == MONEY


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(cents=st.lists(st.integers(-(10**13), 10**13), min_size=100, max_size=200))
def test_money_survives_binary_floating_point(spark: SparkSession, cents: list[int]) -> None:
    floats = [float(Decimal(amount) / 100) for amount in cents]

    assert converted(spark, floats, "double", MoneyColumn(column="v", decimals=2)) == cents


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(amounts=st.lists(st.decimals("-1e12", "1e12", places=5), min_size=100, max_size=200))
def test_money_is_rounded_half_away_from_zero(spark: SparkSession, amounts: list[Decimal]) -> None:
    rounded = [int((amount * 100).quantize(Decimal(1), ROUND_HALF_UP)) for amount in amounts]

    found = converted(
        spark, [str(amount) for amount in amounts], "string", MoneyColumn(column="v", decimals=2)
    )

    assert found == rounded


def test_minor_units_are_whole_numbers(spark: SparkSession) -> None:
    assert converted(spark, [29.0, 0.29, None], "double", MoneyColumn(column="v")) == [29, None, None]


def test_a_float_column_is_read_by_its_shortest_text(spark: SparkSession) -> None:
    assert converted(spark, [0.29, 1.005], "float", MoneyColumn(column="v", decimals=3)) == [290, 1005]


def test_whole_numbers(spark: SparkSession) -> None:
    texts = ["2", "2.0", "-3", "1.5", "two", "", None, str(HUGE)]

    assert converted(spark, texts, "string", WholeColumn(column="v")) == [2, 2, -3, *[None] * 5]
    assert converted(spark, [2**63 - 1, -3, None], "long", WholeColumn(column="v")) == [2**63 - 1, -3, None]


def test_numbers_are_finite(spark: SparkSession) -> None:
    texts = ["4.5", "-1", "NaN", "Infinity", "x", ""]

    assert converted(spark, texts, "string", NumberColumn(column="v")) == [4.5, -1.0, *[None] * 4]


def test_blanks_words_for_nothing_and_nan_are_missing_values(spark: SparkSession) -> None:
    ids = ["NULL", "\\N", "NaN", " None ", " ", "\t", "\u3000", "", "Nona", "N/A"]
    rows = spark.createDataFrame([(n, text) for n, text in enumerate(ids)], "n int, v string")
    words = CsvFiles(format="csv", path="x").null_values

    def left(null_values: Sequence[str]) -> list[str]:
        found = present(F.col("v"), rows.schema["v"].dataType, null_values)
        return [
            row.v for row in rows.select("n", found.alias("v")).where("v IS NOT NULL").sort("n").collect()
        ]

    assert left(words) == ["Nona", "N/A"]
    assert left(["N/A"]) == ["NULL", "\\N", "NaN", " None ", "Nona"]
    assert converted(spark, [1.5, float("nan")], "double", NumberColumn(column="v")) == [1.5, None]


def test_ids_keep_their_text(spark: SparkSession) -> None:
    ids = [
        "007",
        "null",
        "NaN",
        "é",
        "e\u0301",
        "😀",
        "\u202eabc",
        "'; DROP TABLE",
        "../../etc/passwd",
        "a\0b",
        "x" * 10_000,
    ]

    assert converted(spark, [*ids, ""], "string", Mapped[str](column="v")) == [*ids, None]


@pytest.mark.parametrize(
    ("unit", "count", "microseconds"),
    [
        pytest.param("seconds", 1_511_544_070, 1_511_544_070_000_000, id="seconds"),
        pytest.param("milliseconds", 1_511_544_070_123, 1_511_544_070_123_000, id="milliseconds"),
        pytest.param("microseconds", 1_511_544_070_123_456, 1_511_544_070_123_456, id="microseconds"),
        pytest.param("seconds", 1_511_544_070_123, None, id="milliseconds taken for seconds"),
        pytest.param("seconds", 2**63 - 1, None, id="the largest integer"),
        pytest.param("seconds", -(2**63), None, id="the smallest integer"),
        pytest.param("seconds", -1, -1_000_000, id="before 1970"),
    ],
)
def test_unix_times(spark: SparkSession, unit: Any, count: int, microseconds: int | None) -> None:
    mapped = TimeColumn(column="v", unit=unit)

    assert converted(spark, [count], "long", mapped, "integer") == [microseconds]
    assert converted(spark, [str(count)], "string", mapped) == [microseconds]


def test_fractions_of_a_second_are_kept(spark: SparkSession) -> None:
    mapped = TimeColumn(column="v", unit="seconds")

    assert converted(spark, ["1511544070.25", "1.5e9"], "string", mapped) == [
        1_511_544_070_250_000,
        1_500_000_000_000_000,
    ]
    assert converted(spark, [1511544070.123456], "double", mapped, "floating") == [1_511_544_070_123_456]


def test_iso_text_is_wall_clock_time_unless_it_has_a_zone(spark: SparkSession) -> None:
    noon = datetime(2017, 12, 1, 12, tzinfo=UTC)
    texts = {
        "2017-12-01T12:00:00Z": noon,
        "2017-12-01 12:00:00 UTC": noon,
        "2017-12-01T12:00:00.25+08:00": noon - timedelta(hours=8) + timedelta(milliseconds=250),
        "2017-12-01 12:00:00": noon - timedelta(hours=8),
        "2017-12-01T12:00": noon - timedelta(hours=8),
        " 2017-12-01T12 ": noon - timedelta(hours=8),
        "2017-12-01T12:00+05:30": noon - timedelta(hours=5, minutes=30),
        "2017-12-01T12:00+0530": noon - timedelta(hours=5, minutes=30),
        "2017-12-01 12:00 Europe/Berlin": noon - timedelta(hours=1),
        "2017-12-01T12Z": noon,
        "2017-12-01": noon - timedelta(hours=20),
        "2016-02-29": datetime(2016, 2, 28, 16, tzinfo=UTC),
        "12:00:00": None, "2017-13-01": None, "2017-02-29": None, "yesterday": None, "now": None, "": None,
    }  # fmt: skip

    found = converted(spark, list(texts), "string", TimeColumn(column="v"))

    expected = [
        None if time is None else (time - EPOCH) // timedelta(microseconds=1) for time in texts.values()
    ]
    assert dict(zip(texts, found, strict=True)) == dict(zip(texts, expected, strict=True))


def test_a_date_is_its_first_instant_where_the_log_is_at_home(spark: SparkSession) -> None:
    midnight = datetime(2017, 12, 1, tzinfo=ZoneInfo("America/New_York"))
    mapped = TimeColumn(column="v", time_zone="America/New_York")

    found = converted(spark, [date(2017, 12, 1)], "date", mapped, "date")

    assert found == [(midnight - EPOCH) // timedelta(microseconds=1)]


def test_clocks_that_are_set_back_mean_the_earlier_instant(spark: SparkSession) -> None:
    mapped = TimeColumn(column="v", time_zone="Europe/Berlin")

    twice, never = converted(spark, ["2017-10-29 02:30:00", "2017-03-26 02:30:00"], "string", mapped)

    assert EPOCH + timedelta(microseconds=twice) == datetime(2017, 10, 29, 0, 30, tzinfo=UTC)
    assert EPOCH + timedelta(microseconds=never) == datetime(2017, 3, 26, 1, 30, tzinfo=UTC)


def test_paths_of_categories(spark: SparkSession) -> None:
    dotted = PathColumn(column="v", separator=".")
    listed = PathColumn(column="v")

    assert converted(spark, ["a.b.c", "a", "a..b", None], "string", dotted) == [
        ["a", "b", "c"],
        ["a"],
        ["a", "b"],
        None,
    ]
    assert converted(spark, [["a", None, "b"], []], "array<string>", listed, "list") == [["a", "b"], []]
