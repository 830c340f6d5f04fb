"""A trained model on disk: safetensors, JSON and Parquet, each file with its hash in manifest.json.

Nothing in a model folder can run code when it is loaded: pickles are refused, and so is any file that the
manifest does not name.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import load_file, save_file
from torch import nn

from mtl_model.config import ModelDescription, WeightsName
from mtl_model.data.encode import Encoder
from mtl_model.data.vocabulary import Vocabulary
from mtl_model.model import JointModel, build_model

MANIFEST = "manifest.json"
JUDGED_WEIGHTS = "judged.safetensors"  # where a final pass has changed them since
VOCABULARIES, NEW_VALUES = "vocabularies", "new_values"  # what the judged weights know, and what came after
PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})


def write_model(
    folder: Path,
    model: nn.Module,
    description: ModelDescription,
    vocabularies: Mapping[str, Path],
    new_values: Mapping[str, Path] | None = None,
) -> None:
    """Writes weights, description and vocabularies; the manifest is the caller's last step."""
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "model.json").write_text(description.model_dump_json(indent=2))
    for name, paths in {VOCABULARIES: vocabularies, NEW_VALUES: new_values or {}}.items():
        for field, path in paths.items():
            (folder / name).mkdir(exist_ok=True)
            shutil.copyfile(path, folder / name / f"{field}.parquet")


def read_model(
    folder: Path, verify: bool = True, weights: WeightsName = "model"
) -> tuple[JointModel, Encoder, ModelDescription]:
    """The model that serves, or with `weights="judged"` as it was before the final pass, if there was one."""
    if verify:
        verify_manifest(folder)
    description = ModelDescription.model_validate_json((folder / "model.json").read_bytes())
    files = {field.name: f"{field.name}.parquet" for field in description.model.vocabulary_fields}
    known = {name: folder / VOCABULARIES / file for name, file in files.items()}
    new = {name: folder / NEW_VALUES / file for name, file in files.items()}
    new = {name: path for name, path in new.items() if weights == "model" and path.is_file()}
    encoder = Encoder(description.model, description.data, read_vocabularies(known, new))
    model = build_model(description.model, encoder)
    judged = folder / JUDGED_WEIGHTS
    path = judged if weights == "judged" and judged.exists() else folder / "model.safetensors"
    model.load_state_dict(load_file(path))
    return model.eval(), encoder, description


def read_vocabularies(
    paths: Mapping[str, Path], new_values: Mapping[str, Path] | None = None
) -> dict[str, Vocabulary]:
    """A field's vocabulary, with its new values behind it."""
    new = new_values or {}
    return {
        field: _read_vocabulary(field, [path, new[field]] if field in new else [path])
        for field, path in paths.items()
    }


def _read_vocabulary(field: str, paths: Sequence[Path]) -> Vocabulary:
    columns = [pq.read_table(path, columns=["value"]).column("value").cast(pa.string()) for path in paths]
    values = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())
    try:
        return Vocabulary(values.combine_chunks())
    except ValueError as error:
        raise ValueError(f"the vocabulary of {field} in {' and '.join(map(str, paths))} {error}") from error


def write_manifest(folder: Path) -> None:
    """Names every file of the folder with its sha256."""
    (folder / MANIFEST).write_text(json.dumps(_hash_files(folder), indent=2, sort_keys=True))


def verify_manifest(folder: Path) -> None:
    """Raises ValueError naming each file that is a pickle, unknown, missing or changed."""
    if not (folder / MANIFEST).is_file():
        raise ValueError(f"{folder} has no {MANIFEST}: it is not a finished model folder")
    pickles = sorted(path.name for path in folder.rglob("*") if path.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise ValueError(f"{folder} holds pickles, which run code when loaded: {pickles}")
    try:
        expected = json.loads((folder / MANIFEST).read_bytes())
    except ValueError as error:
        raise ValueError(f"{folder} has a {MANIFEST} that is not JSON: {error}") from error
    found = _hash_files(folder)
    problems = {
        "unknown": sorted(found.keys() - expected.keys()),
        "missing": sorted(expected.keys() - found.keys()),
        "changed": sorted(name for name in found.keys() & expected.keys() if found[name] != expected[name]),
    }
    if any(problems.values()):
        named = ", ".join(f"{kind} {names}" for kind, names in problems.items() if names)
        raise ValueError(f"{folder} does not match its {MANIFEST}: {named}")


def _hash_files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
