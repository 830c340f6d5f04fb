import json
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mtl_model.config import TrainSpec
from mtl_model.data.encode import Batch, Encoder
from mtl_model.model_folder import read_vocabularies
from mtl_model.transfer.config import InstanceWeightingConfig
from mtl_model.transfer.instance_weighting import DomainClassifier

MakeSpec = Callable[..., TrainSpec]
TARGET = {"name": "dear", "column": "price", "at_least": 5.0}


def set_up(
    make_spec: MakeSpec, max_weight: float, excluded: tuple[str, ...]
) -> tuple[Batch, DomainClassifier]:
    """Dear rows are the target domain: more of them are of user u1 than of others."""
    model = json.loads(make_spec().model.model_dump_json())
    weighting = {"max_weight": max_weight, "excluded_fields": excluded}
    model |= {"slices": [TARGET], "transfer": {"target": "dear", "instance_weighting": weighting}}
    spec = make_spec(num_rows=600, changes={"model": model})
    table = pa.concat_tables([pq.read_table(path) for path in spec.train_files])
    rng = np.random.default_rng(4)
    price = pa.array(rng.uniform(1.0, 9.0, len(table)))
    of_user = np.where(price.to_numpy() >= 5, rng.random(len(table)) < 0.75, rng.random(len(table)) < 0.5)
    users = pa.array(np.where(of_user, "u1", "u2"))
    for name, column in (("price", price), ("user_id", users)):
        table = table.set_column(table.column_names.index(name), name, column)
    encoder = Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))
    config = InstanceWeightingConfig(max_weight=max_weight, excluded_fields=excluded)
    return encoder.encode(table), DomainClassifier(spec.model, encoder, config)


def test_a_source_row_weighs_the_ratio_of_its_density_in_the_domains(make_spec: MakeSpec) -> None:
    rows, classifier = set_up(make_spec, 10.0, excluded=("item_id", "days_since"))
    classifier.fit([rows] * 300, learning_rate=0.3)

    weights = classifier.weigh(rows).weights

    user = rows.ids[:, 0]
    for known in sorted(set(user.tolist())):
        in_target = (user[rows.is_target] == known).float().mean()
        in_source = (user[~rows.is_target] == known).float().mean()
        of_rows = weights[(user == known) & ~rows.is_target]
        torch.testing.assert_close(
            of_rows, torch.full_like(of_rows, (in_target / in_source).item()), rtol=1e-3, atol=0
        )
    assert (weights[rows.is_target] == 1).all()
    assert weights[~rows.is_target].mean().item() == pytest.approx(1.0, abs=1e-3)


def test_it_is_the_logistic_regression_of_the_inputs(make_spec: MakeSpec) -> None:
    rows, classifier = set_up(make_spec, 1000.0, excluded=("item_id",))
    classifier.fit([rows] * 1500, learning_rate=0.3)

    one_hot = np.concatenate([np.eye(3)[rows.ids[:, 0] - 2], np.eye(10)[rows.ids[:, 2]]], axis=1)
    inputs = np.concatenate([one_hot, rows.numbers[:, :1].numpy()], axis=1)
    reference = LogisticRegression(C=1e6, max_iter=10_000).fit(inputs, rows.is_target.numpy())

    with torch.no_grad():
        found = classifier.logits(rows).numpy()
    np.testing.assert_allclose(found, reference.decision_function(inputs), atol=0.03)


def test_weights_are_clipped_and_one_domain_alone_is_an_error(make_spec: MakeSpec) -> None:
    rows, classifier = set_up(make_spec, 1.2, excluded=())
    classifier.fit([rows, rows.take(slice(0))] * 50, learning_rate=0.3)

    assert classifier.weigh(rows).weights.max().item() == pytest.approx(1.2)
    classifier.check_domains(may_lack_one=False)
    of_target = set_up(make_spec, 1.2, excluded=())[1]
    of_target.fit([rows.take(rows.is_target)], learning_rate=0.3)
    with pytest.raises(ValueError, match=r"found 0 source and [1-9]\d* target rows: look at the bounds"):
        of_target.check_domains(may_lack_one=False)
