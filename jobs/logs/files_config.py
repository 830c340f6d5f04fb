"""The files of a mapped log, as its scenario's YAML says: format, path, and how their text is to be read."""

import codecs
import string
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from mtl_model.config import StrictModel


def _check_pattern(path: str) -> str:
    """A path below the log's folder, in which {date} or {date:%Y/%m/%d} stands for the landing day."""
    for _, name, layout, _ in string.Formatter().parse(path):
        directives = [(layout or "")[index + 1] for index, char in enumerate(layout or "") if char == "%"]
        if name not in {None, "date"} or (layout and sorted(directives) != ["Y", "d", "m"]):
            raise ValueError("only {date}, or {date:...} with %Y, %m and %d, may stand in a path")
    if path.startswith("/"):
        raise ValueError("the path of files is taken below logs.path: it must not start with /")
    return path


def _check_encoding(name: str) -> str:
    try:
        "\n".encode(name)
    except LookupError as error:
        raise ValueError("not an encoding: use a name such as utf-8, latin-1, gbk or utf-16") from error
    return codecs.lookup(name).name


def _check_names(names: Sequence[str]) -> Sequence[str]:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"columns {repeated} are named twice: each needs a name of its own")
    return names


FilePattern = Annotated[str, Field(min_length=1), AfterValidator(_check_pattern)]

Encoding = Annotated[str, AfterValidator(_check_encoding)]
ColumnNames = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_check_names)]


class _Files(StrictModel):
    """`null_values` are texts that stand for a missing value, as a blank text always does."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    path: FilePattern
    null_values: tuple[str, ...] = ("NULL", "Null", "null", "\\N", "NaN", "nan", "None")


class ParquetFiles(_Files):
    format: Literal["parquet"]


class CsvFiles(_Files):
    """Text with a delimiter; `columns` names the columns of files that have no header line."""

    format: Literal["csv"]
    encoding: Encoding = "utf-8"
    delimiter: Annotated[str, Field(min_length=1)] = ","
    columns: ColumnNames | None = None


class JsonLinesFiles(_Files):
    format: Literal["jsonl"]
    encoding: Encoding = "utf-8"


TextFiles = CsvFiles | JsonLinesFiles
Files = Annotated[ParquetFiles | CsvFiles | JsonLinesFiles, Field(discriminator="format")]
