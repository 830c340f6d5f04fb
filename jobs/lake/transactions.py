"""Commits to Iceberg tables that cost the same on the hundredth night as on the first."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, TypeVar

from pyiceberg.io import InputFile
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.schema import Schema
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table, TableProperties, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation, Snapshot
from pyiceberg.table.update import TableUpdate
from pyiceberg.table.update.snapshot import _OverwriteFiles

_READERS_OF_FOOTERS = 8

Fixed = TypeVar("Fixed", Schema, Snapshot)


def _itself(fixed: Fixed, memo: dict[int, Any]) -> Fixed:
    """In place of a deep copy: pyiceberg never changes a schema or a snapshot, which are frozen."""
    return fixed


for _fixed in (Schema, Snapshot):  # nearly all there is in the metadata that each commit copies six times
    _fixed.__deepcopy__ = _itself  # type: ignore[assignment, method-assign]


@dataclass(frozen=True)
class _MetadataFile:
    """A version of a table's metadata: what is at its location never changes."""

    location: str
    file: InputFile = field(compare=False)


_parse_metadata = FromInputFile.table_metadata


@lru_cache(maxsize=64)
def _read_metadata(version: _MetadataFile) -> TableMetadata:
    return _parse_metadata(version.file)


def _metadata_at(file: InputFile) -> TableMetadata:
    """In place of reading and parsing a version anew each time that a table is looked at."""
    return _read_metadata(_MetadataFile(file.location, file))


FromInputFile.table_metadata = staticmethod(_metadata_at)  # type: ignore[assignment, method-assign]


class OneCopyTransaction(Transaction):
    """Copies the metadata once a change: pyiceberg's own does so, snapshots and all, at each of 20 looks."""

    _seen: tuple[TableMetadata, tuple[TableUpdate, ...], TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        base, updates = self._table.metadata, self._updates
        if self._seen is None or self._seen[0] is not base or self._seen[1] is not updates:
            self._seen = base, updates, super().table_metadata
        return self._seen[2]


class _ReplaceFiles(_OverwriteFiles):
    """Leaves out the manifests that only say what earlier commits removed: the parent keeps them all."""

    def _existing_manifests(self) -> list[ManifestFile]:
        return [
            manifest
            for manifest in super()._existing_manifests()
            if manifest.has_added_files() or manifest.has_existing_files()
        ]


def replace_files(
    transaction: Transaction,
    table: Table,
    old: Iterable[DataFile],
    new: Sequence[str],
    summary: dict[str, str],
) -> None:
    """Puts the Parquet files `new` in place of `old`, in one snapshot; none if there is neither."""
    old = list(old)
    if not old and not new:
        return
    metadata = transaction.table_metadata
    if metadata.name_mapping() is None:  # the files know columns by name alone
        mapping = metadata.schema().name_mapping.model_dump_json()
        transaction.set_properties({TableProperties.DEFAULT_NAME_MAPPING: mapping})
    with ThreadPoolExecutor(_READERS_OF_FOOTERS) as pool:
        added = list(pool.map(partial(parquet_file_to_data_file, table.io, metadata), new))
    operation = Operation.OVERWRITE if metadata.current_snapshot_id else Operation.APPEND
    with _ReplaceFiles(operation, transaction, table.io, snapshot_properties=summary) as overwrite:
        for file in old:
            overwrite.delete_data_file(file)
        for file in added:
            overwrite.append_data_file(file)
