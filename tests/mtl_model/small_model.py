"""A finished model folder of random weights, made in a moment."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mtl_model.config import ModelDescription
from mtl_model.data.encode import Encoder
from mtl_model.model import build_model
from mtl_model.model_folder import read_vocabularies, write_manifest, write_model


def write_folder(
    folder: Path, description: ModelDescription, vocabularies: Mapping[str, Sequence[str]] | None = None
) -> Path:
    """Values of a field that `vocabularies` leaves out are its first letter and a number: u0, u1 ..."""
    paths = {}
    (folder / "inputs").mkdir(parents=True)
    for field in description.model.vocabulary_fields:
        values = (vocabularies or {}).get(field.name) or [f"{field.name[0]}{number}" for number in range(40)]
        paths[field.name] = folder / "inputs" / f"{field.name}.parquet"
        pq.write_table(pa.table({"value": values}), paths[field.name])
    torch.manual_seed(3)
    encoder = Encoder(description.model, description.data, read_vocabularies(paths))
    write_model(folder, build_model(description.model, encoder), description, paths)
    write_manifest(folder)
    return folder
