import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from mtl_model.config import TrainSpec
from mtl_model.data.encode import Encoder
from mtl_model.evaluation.attributions import (
    attribute_rows,
    input_fields,
    measure_attributions,
    task_score,
    top_reasons,
)
from mtl_model.model import build_model
from mtl_model.model_folder import read_vocabularies
from mtl_model.predict import Predictor
from tests.mtl_model.conftest import FACTORIZATION, LIST_FIELDS, MODEL

MakeSpec = Callable[..., TrainSpec]
BOTTOM = {"sharing": {"name": "shared_bottom", "hidden_dims": [64]}}
ALL_FIELDS = ["user_id", "item_id", "days_since", "price"]


def make_predictor(make_spec: MakeSpec, parts: dict[str, Any]) -> tuple[Predictor, TrainSpec]:
    """With larger embeddings than a model begins with, so that scores differ."""
    plain = make_spec()
    model = json.loads(plain.model.model_dump_json()) | parts
    vocabularies = {name: str(path) for name, path in plain.vocabularies.items()}
    if any(field["name"] == "departments" for field in model["fields"]):
        vocabularies["departments"] = str(Path(vocabularies["user_id"]).with_name("departments.parquet"))
    spec = make_spec(num_rows=300, changes={"model": model, "vocabularies": vocabularies})
    encoder = Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))
    joint = build_model(spec.model, encoder)
    for table in joint.embedding.tables.values():
        table.data.mul_(6)
    return Predictor(joint, encoder, spec), spec


WITH_LISTS = {"fields": [*MODEL["fields"], *LIST_FIELDS]}


@pytest.mark.parametrize(
    ("parts", "fields"),
    [
        pytest.param(BOTTOM, ALL_FIELDS, id="one embedding"),
        pytest.param(
            {"sharing": {"name": "single_task", "hidden_dims": [64]}}, ALL_FIELDS, id="an embedding per task"
        ),
        pytest.param(WITH_LISTS, [*ALL_FIELDS, "query", "bought_before", "departments"], id="lists"),
        pytest.param(
            WITH_LISTS | {"factorization": FACTORIZATION},
            ["item_id", "days_since", "price", "bought_before", "user_id, query x departments"],
            id="factors",
        ),
    ],
)
def test_the_fields_attributions_make_the_score_above_that_of_the_mean_inputs(
    make_spec: MakeSpec, parts: dict[str, Any], fields: list[str]
) -> None:
    predictor, spec = make_predictor(make_spec, parts)
    rows = pq.read_table(spec.train_files[0]).slice(0, 64)
    features = predictor.encoder.encode_features(rows)
    model = predictor.model

    for task in ("purchase", "spend", "interest"):
        names, attributions = attribute_rows(predictor, features, task, num_steps=200)
        with torch.no_grad():
            scores = task_score(model.head(task), model(*features)[task]).double().numpy()
        above_base = attributions.sum(axis=1)

        assert sorted(names) == sorted(fields)
        assert attributions.shape == (64, len(fields))
        differences = scores - above_base  # f(b), the same for all rows
        assert np.abs(differences - np.median(differences)).mean() < 0.01 * np.ptp(scores), task
    assert len(model.sharing._forward_pre_hooks) == 0


def test_it_is_the_integral_of_the_gradient_along_the_line_from_the_mean_inputs(make_spec: MakeSpec) -> None:
    predictor, spec = make_predictor(make_spec, BOTTOM)
    model, rows = predictor.model, pq.read_table(spec.train_files[0]).slice(0, 40)
    features = predictor.encoder.encode_features(rows)

    names, attributions = attribute_rows(predictor, features, "purchase", num_steps=200)

    inputs = torch.cat([*model.embedding(features.ids), features.numbers], dim=1).detach()
    base, num_steps = inputs.mean(dim=0), 400
    total = torch.zeros_like(inputs)
    for step in range(num_steps):
        point = (base + (step + 0.5) / num_steps * (inputs - base)).requires_grad_()
        hidden = model.towers["purchase"](model.sharing(point)["purchase"])
        (gradient,) = torch.autograd.grad(model.heads["purchase"](hidden).sum(), point)
        total += gradient / num_steps
    by_input = ((inputs - base) * total).numpy()
    columns = np.array(input_fields(model, predictor.encoder))
    by_field = np.stack([by_input[:, columns == name].sum(axis=1) for name in names], axis=1)
    assert np.abs(attributions - by_field).max() < 0.02 * np.ptp(by_field)


def test_a_field_that_says_nothing_has_none_and_rows_without_a_label_do_not_count(
    make_spec: MakeSpec,
) -> None:
    predictor, spec = make_predictor(make_spec, BOTTOM)
    with torch.no_grad():
        predictor.model.embedding.slot_weights(0).fill_(0.5)
    rows = pq.read_table(spec.train_files[0])

    measured = measure_attributions(predictor, rows)

    assert {found.task for found in measured} == {"purchase", "spend", "interest", "coupon"}
    of_purchase = {found.field: found for found in measured if found.task == "purchase"}
    assert of_purchase["user_id"].mean_absolute == pytest.approx(0.0, abs=1e-7)
    assert of_purchase["item_id"].mean_absolute > 0.01
    assert of_purchase["item_id"].mean == pytest.approx(0.0, abs=of_purchase["item_id"].mean_absolute)
    labelled = rows.num_rows - rows["label_purchase"].null_count
    assert {found.num_rows for found in of_purchase.values()} == {labelled}


def test_a_row_has_its_greatest_attributions_as_reasons(make_spec: MakeSpec) -> None:
    predictor, spec = make_predictor(make_spec, BOTTOM)
    examples = pq.read_table(spec.train_files[0])
    rows, others = examples.slice(0, 20), examples.slice(20, 50)

    reasons = top_reasons(predictor, rows, "coupon", num_reasons=2, base_rows=others).to_pylist()

    encode = predictor.encoder.encode_features
    fields, attributions = attribute_rows(predictor, encode(rows), "coupon", base=encode(others))
    for row, expected in zip(reasons, attributions, strict=True):
        assert [abs(value) for _, value in row] == sorted(np.abs(expected), reverse=True)[:2]
        assert all(expected[fields.index(field)] == value for field, value in row)


def test_rows_are_explained_against_the_mean_of_the_base(make_spec: MakeSpec) -> None:
    predictor, spec = make_predictor(make_spec, BOTTOM)
    rows = pq.read_table(spec.train_files[0])
    features, base = (predictor.encoder.encode_features(rows.slice(*part)) for part in ((0, 8), (30, 1)))

    _, attributions = attribute_rows(predictor, features, "purchase", num_steps=200, base=base)
    _, of_itself = attribute_rows(predictor, base, "purchase", base=base)

    with torch.no_grad():
        scores, of_base = (predictor.model(*part)["purchase"][:, 0].numpy() for part in (features, base))
    assert attributions.sum(axis=1) == pytest.approx(scores - of_base, abs=0.02 * float(np.ptp(scores)))
    assert np.abs(of_itself).max() == 0


@pytest.mark.parametrize("num_steps", [1, 64])
def test_attributions_that_do_not_add_up_are_warned_of(
    num_steps: int, make_spec: MakeSpec, caplog: pytest.LogCaptureFixture
) -> None:
    predictor, spec = make_predictor(make_spec, BOTTOM)
    features = predictor.encoder.encode_features(pq.read_table(spec.train_files[0]).slice(0, 32))
    predictor.model.head("spend").linear.weight.data.mul_(20)  # far from a straight line: one step misses it

    attribute_rows(predictor, features, "spend", num_steps=num_steps)

    warnings = [record.getMessage() for record in caplog.records]
    assert bool(warnings) is (num_steps == 1)
    assert all(text.startswith("attributions of task spend are off by ") for text in warnings)
