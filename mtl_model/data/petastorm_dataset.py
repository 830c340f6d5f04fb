"""The `ParquetDataset` that pyarrow had before version 15, as far as petastorm uses it."""

import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.implementations.arrow import ArrowFSWrapper
from fsspec.implementations.local import LocalFileSystem

HIDDEN = ("_", ".")
SUMMARIES = {"_metadata": "metadata", "_common_metadata": "common_metadata"}
OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "in": lambda value, values: value in values,
    "not in": lambda value, values: value not in values,
}


class Piece:
    """The legacy `pq.ParquetDatasetPiece`: a file, or one row group of it.

    `partition_keys` are (column, position of the value in the column's dictionary), of its folders.
    """

    def __init__(
        self, path: str, open_file_func: Any = None, row_group: int | None = None, partition_keys: Any = None
    ) -> None:
        self.path, self.row_group = path, row_group
        self.partition_keys = list(partition_keys or [])
        is_local = isinstance(getattr(open_file_func, "__self__", None), LocalFileSystem)
        self._open_file = None if is_local else open_file_func  # pyarrow opens local files faster itself

    def open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self._open_file(self.path) if self._open_file else self.path)

    def get_metadata(self) -> pq.FileMetaData:
        with self.open() as parquet_file:
            return parquet_file.metadata

    def read(
        self, columns: Any = None, partitions: Any = None, use_threads: bool = False, **_: Any
    ) -> pa.Table:
        wanted = None if columns is None else sorted(columns)
        with self.open() as parquet_file:
            if self.row_group is None:
                table = parquet_file.read(columns=wanted, use_threads=use_threads)
            else:
                table = parquet_file.read_row_group(self.row_group, columns=wanted, use_threads=use_threads)
        for level, (name, position) in enumerate(self.partition_keys):
            indices = pa.array(np.full(len(table), position, dtype=np.int32))
            values = pa.DictionaryArray.from_arrays(indices, partitions[level].dictionary)
            table = table.append_column(name, values)
        return table


class PartitionSet:
    """The values of one partition column, sorted."""

    def __init__(self, name: str, values: Sequence[str]) -> None:
        self.name, self.keys = name, sorted(set(values))

    @property
    def dictionary(self) -> pa.Array:
        """Numbers where all values are."""
        try:
            return pa.array([int(key) for key in self.keys], pa.int64())
        except ValueError:
            return pa.array(self.keys, pa.string())


class Partitions(list[PartitionSet]):
    @property
    def partition_names(self) -> set[str]:
        return {partition.name for partition in self}


class Dataset:
    """The legacy `pq.ParquetDataset`: files, or a folder with a level of folders per partition column."""

    def __init__(
        self, path_or_paths: str | list[str], filesystem: Any = None, filters: Any = None, **_: Any
    ) -> None:
        self.fs: AbstractFileSystem = filesystem or LocalFileSystem()
        if isinstance(self.fs, pyarrow.fs.FileSystem):
            self.fs = ArrowFSWrapper(self.fs)
        self.metadata: pq.FileMetaData | None = None
        self.common_metadata: pq.FileMetaData | None = None
        self.metadata_path = self.common_metadata_path = None
        self.paths: str | list[str] = path_or_paths
        if isinstance(path_or_paths, list) and len(path_or_paths) == 1:
            self.paths = path_or_paths[0]
        paths = [self.paths] if isinstance(self.paths, str) else self.paths
        folders = [(path, keys) for base in paths for path, keys in self._list_files(base)]
        self.partitions: Partitions | None = _find_partitions(folders)
        self.pieces = [
            Piece(path, self.fs.open, partition_keys=self._positions(keys)) for path, keys in folders
        ]
        if filters:
            clauses = filters if isinstance(filters[0], list) else [filters]
            self.pieces = [piece for piece in self.pieces if self._matches(piece, clauses)]

    def _list_files(self, base: str) -> list[tuple[str, dict[str, str]]]:
        """The data files at or below a path, each with the partition values in its folders' names."""
        if not self.fs.isdir(base):
            if not self.fs.exists(base):
                raise FileNotFoundError(f"no such Parquet file or folder: {base}")
            return [(base, {})]
        root, files = self.fs._strip_protocol(base).rstrip("/"), []
        for path in sorted(self.fs.find(root)):
            relative = PurePosixPath(path[len(root) + 1 :])
            if relative.name in SUMMARIES and isinstance(self.paths, str):
                self._read_summary(relative.name, path)
            elif not any(part.startswith(HIDDEN) for part in relative.parts) and relative.suffix != ".crc":
                keys = [part.split("=", 1) for part in relative.parent.parts if "=" in part]
                files.append((path, {unquote(name): unquote(value) for name, value in keys}))
        if files:
            stored = Piece(files[0][0], self.fs.open).get_metadata().schema.names
            files = [(path, {n: v for n, v in keys.items() if n not in stored}) for path, keys in files]
        return files

    def _read_summary(self, name: str, path: str) -> None:
        with self.fs.open(path, "rb") as file:
            setattr(self, SUMMARIES[name], pq.read_metadata(file))
        setattr(self, f"{SUMMARIES[name]}_path", path)

    def _positions(self, keys: Mapping[str, str]) -> list[tuple[str, int]]:
        return [(part.name, part.keys.index(keys[part.name])) for part in self.partitions or ()]

    def _matches(self, piece: Piece, clauses: Any) -> bool:
        """`clauses`: any of them, all conditions of it; on partition columns alone.

        Raises:
            ValueError: on another column.
        """
        values = {
            part.name: part.dictionary[position].as_py()
            for part, (_, position) in zip(self.partitions or (), piece.partition_keys, strict=True)
        }
        if unknown := {name for clause in clauses for name, _, _ in clause} - values.keys():
            raise ValueError(
                f"petastorm filters by partition columns only, these are {list(values)}: {unknown}"
            )
        return any(all(_holds(values[name], sign, other) for name, sign, other in one) for one in clauses)


def _holds(value: Any, sign: str, other: Any) -> bool:
    kind = type(value)
    return OPERATORS[sign](value, [kind(one) for one in other] if "in" in sign else kind(other))


def _find_partitions(files: Sequence[tuple[str, Mapping[str, str]]]) -> Partitions | None:
    names = list(files[0][1]) if files else []
    return Partitions(PartitionSet(name, [keys[name] for _, keys in files]) for name in names) or None
