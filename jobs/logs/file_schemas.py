"""What columns the files of a mapped log have: grouped by schema, and checked before a row is read.

A new column is ignored with one line in the log, and a wider type of the same kind (int -> long, float ->
double) is read as it is. Anything else would turn into nulls or into other values, so it stops the night.
"""

import csv
import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as MappingOf
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as spark_types

from jobs.logs.columns_config import (
    AnyColumn,
    EventTypeColumn,
    IdColumn,
    PathColumn,
    TextColumn,
    TimeColumn,
)
from jobs.logs.config import Mapping
from jobs.logs.files_config import CsvFiles, Files, JsonLinesFiles, ParquetFiles
from jobs.logs.log_files import LogFile
from jobs.logs.read_files import (
    CORRUPT,
    json_schema,
    parse_csv,
    parse_json,
    prune,
    read_parquet,
    read_text,
    text_form,
)
from jobs.logs.text_files import check_content, read_header

logger = logging.getLogger(__name__)

NOTHING = "null"  # the kind of a Parquet column that pandas found no value for

_NUMBERS = ("integer", "floating", "decimal", "text")
_TIMES = ("text", "date", "timestamp", "timestamp with time zone")
_MAX_PROBLEMS = 20
_LINE_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")

Kinds = dict[str, str]  # column (also a nested one, user.id) -> kind of type


@dataclass(frozen=True)
class FileGroup:
    """Files whose mapped columns have the same types, so that one Spark reader reads them."""

    files: tuple[LogFile, ...]
    kinds: Kinds
    names: tuple[str, ...] = ()  # of CSV: the columns in their order
    json_schema: spark_types.StructType | None = None


def group_files(
    spark: SparkSession, files: Sequence[LogFile], form: Files, wanted: Sequence[str]
) -> list[FileGroup]:
    """Reads the files' schemas: footers of Parquet, header lines of CSV, all keys of JSON lines.

    Raises:
        ValueError: if a file is not what its format says, as a CSV file without a header line.
    """
    if not files:
        return []
    with ThreadPoolExecutor(16) as pool:
        if isinstance(form, JsonLinesFiles):
            list(pool.map(lambda file: check_content(file.uri, form.encoding), files))
            schema = json_schema(read_text(spark, files, text_form(form)))
            return [FileGroup(tuple(files), _json_kinds(schema), json_schema=schema)] if len(schema) else []
        if isinstance(form, CsvFiles):
            names = list(pool.map(lambda file: _csv_names(file, form), files))
            schemas, keys = [dict.fromkeys(of_file, "text") for of_file in names], names
        else:
            types = list(pool.map(_parquet_types, files))
            schemas = [{name: kind_of(type_) for name, type_ in of_file.items()} for of_file in types]
            keys = [(*(str(of_file.get(name)) for name in wanted), *_twins(of_file)) for of_file in types]
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return [
        FileGroup(
            tuple(files[index] for index in indices),
            {name: kind for index in reversed(indices) for name, kind in schemas[index].items()},
            names=key,
        )
        for key, indices in groups.items()
    ]


def read_group(spark: SparkSession, group: FileGroup, form: Files, wanted: Sequence[str]) -> DataFrame:
    """The rows of a group with their `wanted` columns, and the name and landing day of each row's file."""
    if isinstance(form, ParquetFiles):
        return read_parquet(spark, group.files, wanted, bool(_twins(group.kinds)))
    records = read_text(spark, group.files, text_form(form))
    if isinstance(form, CsvFiles):
        return parse_csv(records, group.names, form.delimiter, wanted)
    return parse_json(records, prune(group.json_schema or spark_types.StructType(), wanted))


def check_columns(
    groups: Sequence[FileGroup], mapping: Mapping, source: str, known: MappingOf[str, str]
) -> Kinds:
    """Returns the kind of every column, once all groups fit the mapping, each other and what was `known`.

    Raises:
        ValueError: with every missing or changed column, the file, and what to do.
    """
    problems: list[str] = []
    kinds = dict(known)
    for group in groups:
        file = group.files[0].uri
        for name, mapped in mapping.sources():
            if mapped.column and (problem := _problem(name, mapped, group.kinds, kinds)):
                problems.append(f"{file}: {problem}")
        kinds = {**{name: kind for name, kind in group.kinds.items() if kind != NOTHING}, **kinds}
    if problems:
        raise ValueError("\n".join(problems[:_MAX_PROBLEMS]))
    new = sorted(set(kinds) - set(known))
    if known and new:
        logger.info("%s: new columns %s are ignored: no mapping names them", source, ", ".join(new))
    return kinds


def _twins(names: Iterable[str]) -> list[str]:
    """Names of columns that differ by case alone from that of another."""
    spellings = Counter(name.lower() for name in names)
    return sorted(name for name in names if spellings[name.lower()] > 1)


def _problem(name: str, mapped: AnyColumn, kinds: Kinds, known: Kinds) -> str | None:
    column = str(mapped.column)
    twins = [twin for twin in _twins(kinds) if f"{column}.".lower().startswith(f"{twin}.".lower())]
    if twins:
        return (
            f"columns {', '.join(twins)} differ by case alone, and {name} is mapped from {column}: "
            "have one of them renamed"
        )
    if column not in kinds:
        return (
            f"column {column}, which {name} is mapped from, is missing; found {', '.join(sorted(kinds))}: "
            "have the file delivered again, or map another column under logs"
        )
    found, accepted = kinds[column], _accepted_kinds(mapped)
    if found == NOTHING:
        return None
    if found not in accepted:
        return (
            f"column {column}, which {name} is mapped from, should be {' or '.join(accepted)}, "
            f"found {found}: correct the mapping under logs, or have the file delivered again"
        )
    if column in known and known[column] != found:
        return (
            f"column {column}, which {name} is mapped from, should be {known[column]} as in the files "
            f"before, found {found}: have the file delivered again, or convert older files and change logs"
        )
    return None


def _accepted_kinds(mapped: AnyColumn) -> tuple[str, ...]:
    if isinstance(mapped, TimeColumn):
        return _NUMBERS if mapped.unit else _TIMES
    if isinstance(mapped, PathColumn):
        return ("text",) if mapped.separator else ("list",)
    if isinstance(mapped, EventTypeColumn):
        return ("boolean", *_NUMBERS)
    if isinstance(mapped, IdColumn):
        return _NUMBERS if mapped.whole else ("integer", "text")
    if isinstance(mapped, TextColumn):
        return ("boolean", *_NUMBERS, *_TIMES[1:])
    return _NUMBERS


def kind_of(type_: pa.DataType) -> str:
    """What may widen within itself: all integers are one kind, float and double another."""
    checks = {
        "integer": pa.types.is_integer,
        "floating": pa.types.is_floating,
        "decimal": pa.types.is_decimal,
        "boolean": pa.types.is_boolean,
        "date": pa.types.is_date,
        "list": lambda t: pa.types.is_list(t) or pa.types.is_large_list(t),
        "struct": pa.types.is_struct,
    }
    if pa.types.is_dictionary(type_):
        return kind_of(type_.value_type)
    if pa.types.is_timestamp(type_):
        return "timestamp with time zone" if type_.tz else "timestamp"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "text"
    return next((kind for kind, check in checks.items() if check(type_)), str(type_))


def _parquet_types(file: LogFile) -> dict[str, pa.DataType]:
    filesystem, path = fs.FileSystem.from_uri(file.uri)
    try:
        schema = pq.read_schema(path, filesystem=filesystem)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{file.uri}: not a whole Parquet file ({error}): have it delivered again"
        ) from error
    return _flatten([(field.name, field.type) for field in schema])


def _flatten(fields: Sequence[tuple[str, pa.DataType]]) -> dict[str, pa.DataType]:
    found = {}
    for name, type_ in fields:
        found[name] = type_
        if pa.types.is_struct(type_):
            inner = [(f"{name}.{field.name}", field.type) for field in type_]
            found |= _flatten(inner)
    return found


def _csv_names(file: LogFile, form: CsvFiles) -> tuple[str, ...]:
    """The columns of a CSV file, whose content is checked too."""
    check_content(file.uri, form.encoding)
    if form.columns:
        return form.columns
    line, delimiter = read_header(file.uri, text_form(form)), form.delimiter
    names = next(csv.reader([line], delimiter=delimiter)) if len(delimiter) == 1 else line.split(delimiter)
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{file.uri}: columns {repeated} occur twice in the header line: rename them")
    if torn := [name for name in names if _LINE_BREAK.search(name)]:
        raise ValueError(f"{file.uri}: columns {torn} of the header line have a line break: rename them")
    return tuple(names)


def _json_kinds(schema: spark_types.StructType, prefix: str = "") -> Kinds:
    """All keys that occur in the files; values are read as text, exactly as they are written."""
    kinds: Kinds = {}
    for field in schema:
        if field.name == CORRUPT:
            continue
        is_list = isinstance(field.dataType, spark_types.ArrayType)
        kinds[prefix + field.name] = "list" if is_list else "text"
        if isinstance(field.dataType, spark_types.StructType):
            kinds |= _json_kinds(field.dataType, f"{prefix}{field.name}.")
    return kinds
