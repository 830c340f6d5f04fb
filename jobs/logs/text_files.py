"""Text of any encoding -> records: decoded strictly, and whole where a quoted value goes over several lines.

A line that is not valid in its encoding, or that leaves a quote open, is a record by itself and comes with
what is wrong with it. Light to import: workers do.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache
from operator import add

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

_CONTENT = {
    b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh91AY&SY": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x04\x22\x4d\x18": "lz4", b"PAR1\x15": "Parquet",
}  # fmt: skip
_MARKS = {
    b"\xef\xbb\xbf": "utf-8", b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}  # fmt: skip
_BYTE_ORDER_MARK = "\ufeff"
_UNDECODED = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of bytes that are not valid
_PIECE = 1 << 22  # characters read at once
_MAX_HEADER = 1 << 16
_MAX_QUOTED = 1 << 20  # characters of an open quote before it counts as one that was never closed

File = tuple[str, str, date | None]  # URI, name, landing day
Records = tuple[list[str], list[str]]  # whole records, and beside each a line that leaves a quote open, or ""


@dataclass(frozen=True)
class TextForm:
    """How files of text are read; lines are records where there is no delimiter (JSON lines)."""

    encoding: str
    delimiter: str | None = None
    has_header: bool = False


def check_content(uri: str, encoding: str) -> None:
    """Raises a ValueError if the file's first bytes are those of another format or encoding."""
    with _naming(uri, encoding):
        filesystem, path = fs.FileSystem.from_uri(uri)
        with filesystem.open_input_stream(path, compression="detect") as stream:
            head = stream.read(4096)
    if content := next((name for magic, name in _CONTENT.items() if head.startswith(magic)), None):
        raise ValueError(
            f"{uri}: holds {content}, not text: give it the name of what it holds (.gz, .zst), or have "
            "text delivered"
        )
    mark = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if mark and not encoding.startswith(mark):
        raise ValueError(
            f"{uri}: begins with the byte order mark of {mark}, but is read as {encoding}: set files.encoding"
        )
    if b"\0" in head and not encoding.startswith(("utf-16", "utf-32")):
        raise ValueError(
            f"{uri}: has zero bytes, it is no text in {encoding}: set files.encoding, or have text delivered"
        )


def read_header(uri: str, form: TextForm) -> str:
    """The header line of a CSV file.

    Raises:
        ValueError: if there is none, or none that can be told from the rest.
    """
    with _open(uri, form.encoding) as text:
        head = text.read(_MAX_HEADER + 1).removeprefix(_BYTE_ORDER_MARK)
    if not head:
        raise ValueError(
            f"{uri}: an empty file, without a header line: have it delivered again, "
            "or name its columns under files.columns"
        )
    whole: str
    whole, _, broken = _csv_records(str(form.delimiter)).findall(f"{head}\n")[0]
    if len(whole or broken) >= _MAX_HEADER:
        raise ValueError(
            f"{uri}: the header line does not end within {_MAX_HEADER} characters: is it text "
            "with a header line?"
        )
    if broken:
        raise ValueError(f"{uri}: a quote is left open in the header line {broken[:200]!r}: close it")
    if _UNDECODED.search(whole):
        raise ValueError(
            f"{uri}: the header line is not valid {form.encoding}: set files.encoding, or have it "
            "delivered again"
        )
    return whole


def read_slots(
    batches: Iterable[pa.RecordBatch], slots: Sequence[Sequence[File]], form: TextForm
) -> Iterator[pa.RecordBatch]:
    """The records of the files in the slots that the batches name: `record`, `fault`, `file`, `day`."""
    for slot in (slot for batch in batches for slot in batch.column(0).to_pylist()):
        for uri, name, day in slots[slot]:
            for records in read_records(uri, form):
                count = records.num_rows
                names, days = pa.repeat(name, count), pa.repeat(pa.scalar(day, pa.date32()), count)
                yield from records.append_column("file", names).append_column("day", days).to_batches()


def read_records(uri: str, form: TextForm) -> Iterator[pa.Table]:
    """The records of a file and what is wrong with each (else null): columns `record` and `fault`."""
    with _open(uri, form.encoding) as text:
        pieces = _pieces(text)
        split = _split_pieces(pieces, form.delimiter) if form.delimiter else map(_split_lines, pieces)
        for number, (whole, broken) in enumerate(split):
            skipped = 1 if form.has_header and number == 0 else 0
            yield _table(whole[skipped:], broken[skipped:], form.encoding)


def _table(whole: list[str], broken: list[str], encoding: str) -> pa.Table:
    lines = list(map(add, whole, broken))  # one of the two is empty
    fault = pc.if_else(pa.array(map(bool, broken), pa.bool_()), "a quote is left open", None)
    try:
        records = pa.array(lines, pa.string())
    except UnicodeEncodeError:
        is_undecoded = pa.array(map(bool, map(_UNDECODED.search, lines)), pa.bool_())
        fault = pc.if_else(is_undecoded, f"the line is not valid {encoding}", fault)
        shown = [line.encode("utf-8", "surrogateescape") for line in lines]
        records = pa.array([line.decode("utf-8", "backslashreplace") for line in shown], pa.string())
    return pa.table({"record": records, "fault": fault.cast(pa.string())})


@contextmanager
def _open(uri: str, encoding: str) -> Iterator[io.TextIOWrapper]:
    """The file's text, unpacked, with line feeds as ends of lines; bytes that are not valid are escaped."""
    filesystem, path = fs.FileSystem.from_uri(uri)
    errors = "strict" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
    with (
        _naming(uri, encoding),
        filesystem.open_input_stream(path, compression="detect") as stream,
        io.TextIOWrapper(stream, encoding, errors, newline=None) as text,
    ):
        yield text


@contextmanager
def _naming(uri: str, encoding: str) -> Iterator[None]:
    try:
        yield
    except UnicodeError as error:
        raise ValueError(
            f"{uri}: cannot be read to its end, it is not valid {encoding} ({error}): set files.encoding, "
            "or have it delivered again"
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise ValueError(
            f"{uri}: cannot be read to its end, it is torn or damaged ({error}): have it delivered again"
        ) from error


def _pieces(text: io.TextIOWrapper) -> Iterator[str]:
    """The text in pieces of whole lines; the last line of a file may have no end."""
    rest = ""
    while piece := text.read(_PIECE):
        lines, end, rest = (rest + piece).removeprefix(_BYTE_ORDER_MARK).rpartition("\n")
        if end:
            yield lines + end
    if rest:
        yield f"{rest}\n"


def _split_lines(piece: str) -> Records:
    lines = piece.split("\n")[:-1]
    return lines, [""] * len(lines)


def _split_pieces(pieces: Iterator[str], delimiter: str) -> Iterator[Records]:
    """Records of CSV; one whose quote is open at the end of a piece goes on in the next piece."""
    rest = ""
    for piece in pieces:
        if '"' not in piece and not rest:
            yield _split_lines(piece)
            continue
        found = _csv_records(delimiter, goes_on=True).findall(rest + piece)
        rest = found.pop()[1] if found[-1][1] else ""
        if len(rest) > _MAX_QUOTED:
            found += _csv_records(delimiter).findall(rest)
            rest = ""
        yield _columns(found)
    if rest:
        yield _columns(_csv_records(delimiter).findall(rest))


def _columns(found: list[tuple[str, str, str]]) -> Records:
    return [whole for whole, _, _ in found], [broken for _, _, broken in found]


@cache
def _csv_records(delimiter: str, goes_on: bool = False) -> re.Pattern[str]:
    """Matches (a record, an open quote up to the end of a piece that goes on, a line that leaves one open).

    A quote opens a value only where the value begins. Inside it a quote is written twice; where it is not,
    quotes must be even on the value's own line, the last at its end, as they are where they have a backslash.
    """
    end = re.escape(delimiter)
    other = f"[^{end}\n]" if len(delimiter) == 1 else f"(?:(?!{end})[^\n])"
    bare = f'(?!"){other}*+'
    opened = '"[^"]*+(?:""[^"]*+)*+'
    strict = f'(?:{opened}"[ \t]*+(?={end}|\n)|{bare})'
    plain = f'(?:(?!"){other})*+'
    lenient = f'(?:"{plain}(?:"{plain}"{plain})*+"(?={end}|\n)|{bare})'
    record = "|".join(f"(?:{value}{end})*+{value}(?=\n)" for value in (strict, lenient))
    rest = f"(?:{strict}{end})*+{opened}\\Z" if goes_on else "(?!)"
    return re.compile(f"(?:({record})\n|({rest})|([^\n]*)\n)")
