import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_model.config import DataSpec, ModelDescription, TrainSpec
from mtl_model.data.encode import Encoder
from mtl_model.model import build_model
from mtl_model.model_folder import (
    read_model,
    read_vocabularies,
    verify_manifest,
    write_manifest,
    write_model,
)


@pytest.fixture
def folder(make_spec: Callable[..., TrainSpec], tmp_path: Path) -> Path:
    """A finished model folder."""
    spec = make_spec(num_rows=10)
    data = DataSpec(**{name: getattr(spec, name) for name in DataSpec.model_fields})
    model = build_model(spec.model, Encoder(spec.model, data, read_vocabularies(spec.vocabularies)))
    folder = tmp_path / "finished"
    folder.mkdir()
    write_model(folder, model, ModelDescription(model=spec.model, data=data), spec.vocabularies)
    write_manifest(folder)
    return folder


def test_a_finished_folder_is_read_back(folder: Path) -> None:
    model, encoder, description = read_model(folder)

    assert description.data.negative_sampling_rate == 0.5
    assert encoder.vocabularies["user_id"].values.to_pylist()[:2] == ["u0", "u1"]
    assert not model.training


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "vocabularies/user_id.parquet"])
def test_a_changed_file_is_refused_by_name(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)

    with pytest.raises(ValueError, match=rf"changed \['{name}'\]"):
        read_model(folder)


def test_a_missing_and_an_unknown_file_are_refused_by_name(folder: Path) -> None:
    (folder / "vocabularies/user_id.parquet").rename(folder / "vocabularies/users.parquet")

    with pytest.raises(ValueError, match=r"unknown \['vocabularies/users.*missing \['vocabularies/user_id"):
        read_model(folder)


def test_a_pickle_is_refused_even_if_the_manifest_names_it(folder: Path) -> None:
    (folder / "model.pt").write_bytes(pickle.dumps({"weights": 1}))
    write_manifest(folder)

    with pytest.raises(ValueError, match=r"holds pickles.*\['model.pt'\]"):
        read_model(folder)


def test_a_pickle_under_another_name_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps({"weights": 1}))
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert "model.safetensors" in manifest

    with pytest.raises(ValueError, match=r"changed \['model.safetensors'\]"):
        read_model(folder)


def test_an_unfinished_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no manifest.json: it is not a finished model folder"):
        verify_manifest(tmp_path)


@pytest.mark.parametrize("values", [["a", "a"], ["a", None]], ids=["repeated", "null"])
def test_a_vocabulary_with_two_rows_for_a_value_is_refused(tmp_path: Path, values: list[str | None]) -> None:
    pq.write_table(pa.table({"value": pa.array(values, pa.string())}), tmp_path / "brand.parquet")

    with pytest.raises(ValueError, match=r"vocabulary of brand in .* has nulls or repeated values"):
        read_vocabularies({"brand": tmp_path / "brand.parquet"})
