"""Lets petastorm 0.13.1 run on today's pyarrow, which no longer has the names that petastorm was written for.

The lost names exist only inside petastorm's own modules: there `pa`, `pq` and `np` become twins of the real
modules with the old names added. The real pyarrow and numpy stay as they are for everyone else.
"""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from packaging.version import Version

from mtl_model.data.petastorm_dataset import Dataset, Piece


class TableQueueReader:
    """Hands a row group over as it was read: petastorm's own turns a missing text into 'None'."""

    batched_output = True

    def read_next(self, workers_pool: Any, schema: Any, ngram: Any) -> pa.Table:
        from petastorm.workers_pool import EmptyResultError

        try:
            return workers_pool.get_results()
        except EmptyResultError:
            raise StopIteration from None


class TwinLoader(Loader):
    """Runs a module of petastorm with the lost modules at hand, then gives it the twins."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)  # what `python -m` and tracebacks ask of it

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self.loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        with _lost_modules():
            self.loader.exec_module(module)
        for name, value in list(vars(module).items()):
            if id(value) in TWINS:
                setattr(module, name, TWINS[id(value)])
        if module.__name__ == "petastorm.workers_pool.thread_pool":
            _ask_once_more(vars(module)["ThreadPool"])


class PetastormFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "petastorm":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader:
            spec.loader = TwinLoader(spec.loader)
        return spec


def install() -> None:
    """From now on petastorm can be imported, whatever module of it."""
    if not any(isinstance(finder, PetastormFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, PetastormFinder())


def import_petastorm_reader() -> ModuleType:
    """The module `petastorm.reader`, able to run."""
    install()
    return importlib.import_module("petastorm.reader")


@contextmanager
def _lost_modules() -> Iterator[None]:
    """Lends import names that are gone, only while a module of petastorm is imported."""
    if hasattr(pa, "LocalFileSystem"):  # by the module that imports this one
        yield
        return
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


def _ask_once_more(pool: Any) -> None:
    """Lets petastorm's pool of threads lose no row group.

    It can say that all is read while the work was still being handed out: it looks first whether all handed
    out is done, then whether all is handed out. By then it is, and what is not done is still to come.
    """
    get_results = pool.get_results

    def get_all_results(self: Any) -> Any:
        from petastorm.workers_pool import EmptyResultError

        while True:
            try:
                return get_results(self)
            except EmptyResultError:
                if self.all_workers_done():
                    raise

    pool.get_results = get_all_results


def _twin(module: ModuleType, **legacy_names: Any) -> ModuleType:
    twin = ModuleType(f"{__name__}.{module.__name__}")
    twin.__dict__.update({**vars(module), **legacy_names, "__name__": twin.__name__})
    twin.__dict__["__getattr__"] = lambda name: getattr(module, name)  # what the module loads lazily
    sys.modules[twin.__name__] = twin  # so that what refers to it can be sent to another process
    return twin


_LEGACY_PQ = _twin(pq, ParquetDataset=Dataset, ParquetDatasetPiece=Piece)
TWINS = {
    id(np): _twin(np, unicode_=np.str_, string_=np.bytes_),
    id(pa): _twin(pa, parquet=_LEGACY_PQ, localfs=LocalFileSystem()),
    id(pq): _LEGACY_PQ,
}
