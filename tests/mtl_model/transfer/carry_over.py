"""Models whose weights another one begins with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mtl_model.config import DataSpec, ModelDescription, TrainSpec, WarmStart
from mtl_model.data.encode import Encoder
from mtl_model.model import JointModel, build_model
from mtl_model.model_folder import read_vocabularies, write_manifest, write_model
from mtl_model.transfer.warm_start import warm_start
from tests.mtl_model.conftest import DEPARTMENTS, LIST_FIELDS, MODEL
from tests.mtl_model.sharing.build_sharing import SETTINGS
from tests.mtl_model.sharing.conftest import FUNNEL

MakeSpec = Callable[..., TrainSpec]
FIELDS: list[dict[str, Any]] = [*MODEL["fields"], *LIST_FIELDS]


def describe(spec: TrainSpec) -> tuple[Encoder, ModelDescription]:
    data = DataSpec(**{name: getattr(spec, name) for name in DataSpec.model_fields})
    description = ModelDescription(model=spec.model, data=data)
    return Encoder(spec.model, data, read_vocabularies(spec.vocabularies)), description


def build(spec: TrainSpec) -> JointModel:
    return build_model(spec.model, describe(spec)[0])


def of_funnel(make_spec: MakeSpec, kind: str, **parts: Any) -> TrainSpec:
    """A model with lists under a way of sharing; `parts` replace those of the model."""
    sharing = dict(SETTINGS[kind])
    if kind == "home":
        sharing["groups"] = {"browsing": ["click", "cart"], "paying": ["buy", "interest"]}
    towers = [] if kind in {"task_relationship", "resflow"} else [8]
    model = MODEL | {"fields": FIELDS, "sharing": sharing, "tower_hidden_dims": towers, "tasks": FUNNEL}
    paths = {name: str(path) for name, path in make_spec(num_rows=10).vocabularies.items()}
    paths["departments"] = str(Path(paths["user_id"]).with_name("departments.parquet"))
    labels = {"interest": DEPARTMENTS} if FUNNEL[3] in parts.get("tasks", FUNNEL) else {}
    return make_spec(
        num_rows=50, changes={"model": model | parts, "vocabularies": paths, "label_names": labels}
    )


def carry_over(first: TrainSpec, second: TrainSpec, folder: Path) -> tuple[JointModel, JointModel, set[str]]:
    """An earlier model, that of `second` after a start from it, and what began afresh there."""
    earlier = build(first).eval()
    with torch.no_grad():
        for weight in earlier.state_dict().values():
            weight += 0.1 * torch.randn_like(weight)  # no weight is as one is drawn
    folder.mkdir()
    write_model(folder, earlier, describe(first)[1], first.vocabularies)
    write_manifest(folder)
    model = build(second).eval()
    afresh = warm_start(model, *describe(second), WarmStart(model_dir=folder, weights="model"))
    assert len(set(afresh)) == len(afresh)
    return earlier, model, set(afresh)
