"""Imports petastorm 0.13.1 on today's pyarrow, which no longer has the names that petastorm was written for.

The lost names exist only inside petastorm's own modules: there `pa`, `pq` and `np` become twins of the real
modules with the old names added. The real pyarrow and numpy stay as they are for everyone else.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from packaging.version import Version


class Piece:
    """The legacy `pq.ParquetDatasetPiece`: a file, or one row group of it."""

    def __init__(
        self, path: str, open_file_func: Any = None, row_group: int | None = None, partition_keys: Any = None
    ) -> None:
        self.path, self.row_group = path, row_group
        self.partition_keys = list(partition_keys or [])

    def get_metadata(self) -> pq.FileMetaData:
        return pq.read_metadata(self.path)

    def read(self, columns: Any = None, partitions: Any = None) -> pa.Table:
        with pq.ParquetFile(self.path) as parquet_file:
            return parquet_file.read_row_group(self.row_group, columns=sorted(columns), use_threads=False)


class Dataset:
    """The part of the legacy `pq.ParquetDataset` that a batch reader of plain local files asks for."""

    partitions = metadata = common_metadata = metadata_path = common_metadata_path = None

    def __init__(self, path_or_paths: str | list[str], filesystem: Any = None, **_: Any) -> None:
        self.fs = filesystem or LocalFileSystem()
        self.paths = path_or_paths
        paths = [path_or_paths] if isinstance(path_or_paths, str) else path_or_paths
        if missing := [path for path in paths if not Path(path).is_file()]:
            raise FileNotFoundError(f"no such Parquet files: {missing}")
        self.pieces = [Piece(path) for path in paths]


class TableQueueReader:
    """Hands a row group over as it was read.

    petastorm's own turns a missing text into the text 'None' and fails on a missing list. Its pool can say
    that all is read while the work was still being handed out: it looks first whether all handed out is done,
    then whether all is handed out. Asked once more, in the right order, it loses no row group.
    """

    batched_output = True

    def read_next(self, workers_pool: Any, schema: Any, ngram: Any) -> pa.Table:
        from petastorm.workers_pool import EmptyResultError

        while True:
            try:
                return workers_pool.get_results()
            except EmptyResultError:
                if workers_pool.all_workers_done():
                    raise StopIteration from None


def import_petastorm_reader() -> ModuleType:
    """The module `petastorm.reader`, able to run."""
    if "petastorm.reader" not in sys.modules:
        with _lost_modules():
            importlib.import_module("petastorm.reader")
        _give_twins()
    return sys.modules["petastorm.reader"]


@contextmanager
def _lost_modules() -> Iterator[None]:
    """Lends import names that are gone, only while petastorm is imported."""
    filesystem, hdfs, version = (
        ModuleType(name) for name in ("pyarrow.filesystem", "pyarrow.hdfs", "distutils.version")
    )
    filesystem.__dict__.update(LocalFileSystem=LocalFileSystem, FileSystem=object)
    hdfs.__dict__.update(HadoopFileSystem=object, connect=None)
    version.__dict__.update(LooseVersion=Version)
    lent = {module.__name__: module for module in (filesystem, hdfs)}
    if sys.version_info >= (3, 12):
        lent[version.__name__] = version
    sys.modules.update(lent)
    pa.LocalFileSystem = LocalFileSystem
    try:
        yield
    finally:
        del pa.LocalFileSystem
        for name in lent:
            del sys.modules[name]


def _give_twins() -> None:
    """Replaces the names of numpy and pyarrow in petastorm's modules."""
    legacy_pq = _twin(pq, ParquetDataset=Dataset, ParquetDatasetPiece=Piece)
    twins = {
        id(np): _twin(np, unicode_=np.str_, string_=np.bytes_),
        id(pa): _twin(pa, parquet=legacy_pq, localfs=LocalFileSystem()),
        id(pq): legacy_pq,
    }
    for name, module in list(sys.modules.items()):
        if name.startswith("petastorm."):
            for key, value in list(vars(module).items()):
                if id(value) in twins:
                    setattr(module, key, twins[id(value)])


def _twin(module: ModuleType, **legacy_names: Any) -> ModuleType:
    twin = ModuleType(f"{__name__}.{module.__name__}")
    twin.__dict__.update({**vars(module), **legacy_names, "__name__": twin.__name__})
    twin.__dict__["__getattr__"] = lambda name: getattr(module, name)  # what the module loads lazily
    return twin
