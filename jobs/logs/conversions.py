"""Values of a source -> values of the data contract, exactly; null where a value cannot be converted."""

import operator
from collections.abc import Mapping, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as spark_types

from jobs.logs.columns_config import (
    COMPARISON,
    AnyColumn,
    EventType,
    EventTypeColumn,
    IdColumn,
    MoneyColumn,
    NumberColumn,
    PathColumn,
    TimeColumn,
    WholeColumn,
)

_DECIMAL = "decimal(38,18)"
_FLOATS = (spark_types.FloatType, spark_types.DoubleType)
_WHOLE_ID, _BROKEN_ID = r"^([+-]?\d+)\.0*$", r"^[+-]?\d*\.\d*[1-9]\d*$"
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
DROPPED = ""  # in place of an event type
_MICROSECONDS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
_DIGITS = {"seconds": 6, "milliseconds": 3, "microseconds": 0}
_FIRST_MICROSECOND, _LAST_MICROSECOND = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 to 9999
_BLANKS = " \t\n\r\v\f\u00a0\u3000"
_ISO = r"^\d{4}-\d{2}-\d{2}"  # Spark would read a time without a date as today's
_HAS_ZONE = r"^.{10}[T ][0-9:.]+\s*[A-Za-z+-]"
_WITHOUT_SECONDS = r"^(.{10}[T ]\d{1,2}:\d{1,2})(\s*[A-Za-z+-].*)$"  # Spark wants seconds before a zone
_WITHOUT_MINUTES = r"^(.{10}[T ]\d{1,2})(\s*[A-Za-z+-].*)$"


def is_text(type_: spark_types.DataType) -> bool:
    return isinstance(type_, spark_types.StringType)


def present(column: Column, type_: spark_types.DataType, null_values: Sequence[str] = ()) -> Column:
    """The column as it is, but a blank text, one of `null_values` and a NaN are missing values."""
    if is_text(type_):
        return F.when(~F.trim(column, F.lit(_BLANKS)).isin("", *null_values), column)
    return F.when(~F.isnan(column), column) if isinstance(type_, _FLOATS) else column


def convert(
    column: Column, type_: spark_types.DataType, kind: str, mapped: AnyColumn, time_zone: str
) -> Column:
    """Converts a present value of Spark's type and the file's kind of type, in the time zone of the log."""
    if isinstance(mapped, TimeColumn):
        if mapped.unit:
            return unix_to_instant(column, type_, mapped.unit)
        return to_instant(column, type_, kind, mapped.time_zone or time_zone)
    if isinstance(mapped, MoneyColumn):
        amount = to_minor_units(column, type_, mapped.decimals)
        return F.abs(amount) if mapped.absolute else amount
    if isinstance(mapped, EventTypeColumn):
        return translate(column, mapped.translation)
    if isinstance(mapped, PathColumn):
        return to_path(column, mapped.separator)
    if isinstance(mapped, WholeColumn):
        return F.abs(to_whole(column, type_)) if mapped.absolute else to_whole(column, type_)
    if isinstance(mapped, IdColumn) and mapped.whole:
        return to_whole_id(column, type_)
    return to_number(column) if isinstance(mapped, NumberColumn) else to_text(column)


def to_local(instant: Column, time_zone: str) -> Column:
    """The wall-clock time of an instant; sessions are in UTC, so that UTC costs nothing."""
    return instant if time_zone == "UTC" else F.from_utc_timestamp(instant, time_zone)


def to_utc(local: Column, time_zone: str) -> Column:
    """The instant of a wall-clock time."""
    return local if time_zone == "UTC" else F.to_utc_timestamp(local, time_zone)


def to_text(column: Column) -> Column:
    return column.cast("string")


def to_decimal(column: Column) -> Column:
    """The exact number that a text or number is, by its shortest text; null if it is none."""
    return column.cast("string").try_cast(_DECIMAL)


def to_whole_id(column: Column, type_: spark_types.DataType) -> Column:
    """Ids that were numbers on their way, without the zeros behind the point; null if others stand there."""
    if not is_text(type_):
        number = to_decimal(column)
        return F.when(number == F.floor(number), number.cast("decimal(20,0)").cast("string"))
    text = F.trim(column)
    return F.when(~text.rlike(_BROKEN_ID), F.regexp_replace(text, _WHOLE_ID, "$1"))


def to_whole(column: Column, type_: spark_types.DataType) -> Column:
    """Whole numbers of any type; a table made by pandas has 2.0 for 2 once a value is missing."""
    if isinstance(type_, spark_types.IntegralType):
        return column.cast("long")
    number = to_decimal(column)
    return F.when(number == F.floor(number), number.try_cast("long"))


def to_number(column: Column) -> Column:
    number = column.cast("string").try_cast("double")
    return F.when(F.abs(number) < F.lit(float("inf")), number)  # NaN is greater than all


def to_minor_units(column: Column, type_: spark_types.DataType, decimals: int) -> Column:
    """Major units with `decimals` decimals -> minor units, half away from zero; 0.29 is 29, never 28.

    Numbers go through their shortest decimal text, so that a double's binary error plays no part.
    """
    if not decimals:
        return to_whole(column, type_)
    return (F.round(to_decimal(column), decimals) * F.lit(10**decimals)).try_cast("long")


def is_finer(column: Column, decimals: int) -> Column:
    """Whether an amount is rounded by more than a thousandth of its minor unit."""
    amount = to_decimal(column)
    return F.abs(amount - F.round(amount, decimals)) > F.lit(10 ** -(decimals + 3)).cast(_DECIMAL)


def is_lost(column: Column, minor_units: Column) -> Column:
    """Whether an amount is too small to be anything in minor units."""
    return (minor_units == 0) & (column.cast("string").try_cast("double") != 0)


def translate(column: Column, values: Mapping[str, EventType | None]) -> Column:
    """The event type of a source's value; DROPPED where it makes no event, null where it is unknown."""
    text, number = F.coalesce(column.cast("string"), F.lit("")), to_decimal(column)
    whole = F.regexp_replace(text, _WHOLE_ID, "$1")  # 1.0 is 1, as pandas writes it
    named = {name: kind or DROPPED for name, kind in values.items() if not COMPARISON.fullmatch(name)}
    entries = F.create_map(*[F.lit(part) for entry in named.items() for part in entry])
    found = [entries[text], entries[whole]] if named else []
    for name, kind in values.items():
        if comparison := COMPARISON.fullmatch(name):
            sign, bound = comparison.groups()
            found.append(F.when(_COMPARE[sign](number, F.lit(bound).cast(_DECIMAL)), kind or DROPPED))
    return F.coalesce(*found)


def to_path(column: Column, separator: str | None) -> Column:
    levels = F.split(column, f"\\Q{separator}\\E") if separator else column.cast("array<string>")
    return F.filter(levels, lambda level: level.isNotNull() & (level != ""))


def unix_to_instant(column: Column, type_: spark_types.DataType, unit: str) -> Column:
    """Units since 1970 -> timestamp; null outside the years 1 to 9999, where the unit must be another."""
    factor = _MICROSECONDS[unit]
    if isinstance(type_, spark_types.IntegralType):
        whole = column.cast("long")
        in_range = whole.between(_FIRST_MICROSECOND // factor, _LAST_MICROSECOND // factor)
        return F.timestamp_micros(F.when(in_range, whole * factor))
    number = column.cast("string").try_cast(_DECIMAL)
    microseconds = (F.floor(number, F.lit(_DIGITS[unit])) * factor).try_cast("long")
    in_range = microseconds.between(_FIRST_MICROSECOND, _LAST_MICROSECOND)
    return F.timestamp_micros(F.when(in_range, microseconds))


def to_instant(column: Column, type_: spark_types.DataType, kind: str, time_zone: str) -> Column:
    """Dates, timestamps and ISO text -> timestamp; those without a zone are wall-clock times in `time_zone`.

    Where clocks are set back, the earlier of the two instants is taken.
    """
    if is_text(type_):
        whole = F.trim(column)
        for pattern in (_WITHOUT_MINUTES, _WITHOUT_SECONDS):
            whole = F.regexp_replace(whole, pattern, "$1:00$2")
        instant = F.when(whole.rlike(_ISO), whole.try_cast("timestamp"))
        return F.when(whole.rlike(_HAS_ZONE), instant).otherwise(to_utc(instant, time_zone))
    if isinstance(type_, spark_types.LongType):  # nanoseconds, which Spark reads as a number
        instant = F.timestamp_micros(F.call_function("div", column, F.lit(1000)))
    else:
        instant = column.cast("timestamp")
    is_instant = kind == "timestamp with time zone" or isinstance(type_, spark_types.TimestampType)
    return instant if is_instant else to_utc(instant, time_zone)
