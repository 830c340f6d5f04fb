from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mtl_model.config import TrainSpec
from mtl_model.data.encode import Encoder, cut_rows
from mtl_model.evaluation.config import SliceConfig
from mtl_model.model_folder import read_vocabularies
from tests.mtl_model.conftest import MODEL


@pytest.fixture
def encoder(make_spec: Callable[..., TrainSpec]) -> Encoder:
    spec = make_spec()
    return Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))


def rows(**columns: object) -> pa.Table:
    """Three rows, the given columns replaced."""
    table = {
        "example_id": [1, 2, 3],
        "user_id": ["u0", "u1", "u2"],
        "item_id": ["i0", "i1", "i2"],
        "days_since": [1.0, 2.0, 3.0],
        "price": [5.0, 5.0, 5.0],
        "label_purchase": [0, 1, 0],
        "label_spend": [0, 250, 0],
        "label_interest": [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
        "label_coupon": [1, 0, 1],
    }
    return pa.table(table | columns)


@pytest.mark.parametrize(
    "items",
    [
        pytest.param(pa.array(["i3", None, "never seen"]), id="plain"),
        pytest.param(pa.array(["i3", None, "never seen"]).dictionary_encode(), id="dictionary"),
    ],
)
def test_null_is_row_0_unknown_row_1_and_known_values_start_at_row_2(
    encoder: Encoder, items: pa.Array
) -> None:
    features = encoder.encode_features(rows(item_id=items))

    assert features.ids[:, 1].tolist() == [5, 0, 1]


@pytest.mark.parametrize(
    ("value", "bucket"),
    [
        pytest.param(None, 0, id="missing"),
        pytest.param(float("nan"), 0, id="not a number is missing"),
        pytest.param(-1.0, 1, id="below all boundaries"),
        pytest.param(3.0, 1, id="a boundary closes its bucket"),
        pytest.param(3.1, 2, id="just above"),
        pytest.param(float("inf"), 8, id="above all"),
    ],
)
def test_a_number_falls_into_its_quantile(encoder: Encoder, value: float | None, bucket: int) -> None:
    features = encoder.encode_features(rows(days_since=pa.array([value] * 3, pa.float64())))

    assert features.ids[:, 2].tolist() == [bucket] * 3


def test_numbers_are_standardised_clipped_and_0_where_missing(encoder: Encoder) -> None:
    features = encoder.encode_features(
        rows(
            days_since=pa.array([np.expm1(3.5), -np.expm1(0.5), float("inf")]),
            price=pa.array([None, 5.0 + 2.3, 1e9]),
        )
    )

    np.testing.assert_allclose(features.numbers[:, 0], [1.0, -3.0, 10.0], rtol=1e-6)
    np.testing.assert_allclose(features.numbers[:, 1], [0.0, 1.0, 10.0], rtol=1e-6)


def test_whole_numbers_and_booleans_are_numbers_too(encoder: Encoder) -> None:
    features = encoder.encode_features(rows(days_since=[4, None, 7], price=[True, False, None]))

    assert features.ids[:, 2].tolist() == [2, 0, 3]
    np.testing.assert_allclose(features.numbers[:, 1], [-4 / 2.3, -5 / 2.3, 0.0], rtol=1e-6)


def test_a_null_label_is_masked_and_the_others_stay_in_their_rows(encoder: Encoder) -> None:
    batch = encoder.encode(rows(label_spend=[None, 250, 0], label_interest=[None, [1, 0, 1], None]))

    assert batch.masks.tolist() == [[1, 0, 0, 1], [1, 1, 1, 1], [1, 1, 0, 1]]
    assert batch.labels[:, 1].tolist() == [0, 250, 0]
    assert batch.labels[:, 2:5].tolist() == [[0, 0, 0], [1, 0, 1], [0, 0, 0]]


def test_labels_of_the_wrong_length_are_refused(encoder: Encoder) -> None:
    with pytest.raises(
        ValueError, match=r"label_interest must hold 3 values in each row, got lengths \[3, 2\]"
    ):
        encoder.encode(rows(label_interest=[[0, 1, 0], [1, 0], None]))


@pytest.mark.parametrize(
    ("clicks", "impossible"),
    [
        pytest.param([1, 1, 0], [], id="buys after clicks"),
        pytest.param([1, 0, 0], [2], id="buys without a click"),
        pytest.param([1, None, 0], [2], id="the click is unknown"),
    ],
)
def test_what_depends_on_a_click_cannot_happen_without_it(
    make_spec: Callable[..., TrainSpec], clicks: list[int | None], impossible: list[int]
) -> None:
    click = {"name": "click", "head": "binary", "label": "label_click", "loss_weight": 1.0}
    buy = click | {"name": "buy", "label": "label_purchase", "depends_on": "click"}
    model = MODEL | {"tasks": [click, buy]}
    spec = make_spec(num_rows=10, changes={"model": model, "label_names": {}})
    encoder = Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))
    table = rows(label_purchase=[None, 1, 0], label_click=clicks)

    if not impossible:
        assert encoder.encode(table).labels[:, 1].tolist() == [0, 1, 0]
        return
    with pytest.raises(ValueError, match=r"label_purchase is 1 in 1 rows .* example_id \[2\]"):
        encoder.encode(table)


@pytest.mark.parametrize("rating", [-1, 5, 2.5, float("nan")])
def test_a_class_that_does_not_exist_is_refused(make_spec: Callable[..., TrainSpec], rating: float) -> None:
    task = {"name": "rating", "head": "ordinal", "label": "label_rating", "loss_weight": 1.0}
    model = MODEL | {"tasks": [task | {"num_classes": 5}]}
    spec = make_spec(num_rows=10, changes={"model": model, "label_names": {}})
    encoder = Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))

    assert encoder.encode(rows(label_rating=[0, None, 4])).labels[:, 0].tolist() == [0, 0, 4]
    with pytest.raises(ValueError, match="label_rating must be 0 to 4, got"):
        encoder.encode(rows(label_rating=[0, None, rating]))


def test_a_missing_column_is_named(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match=r"lack columns that the model reads: \['price'\]"):
        encoder.encode_features(rows().drop_columns(["price"]))


def test_a_slice_of_a_table_gives_its_own_rows(encoder: Encoder) -> None:
    table = pa.concat_tables([rows(), rows(example_id=[4, 5, 6])]).slice(2, 2)

    batch = encoder.encode(table)

    assert batch.example_ids.tolist() == [3, 4]
    assert batch.labels[:, 2:5].tolist() == [[0, 0, 1], [0, 1, 0]]


def test_no_rows_give_an_empty_batch(encoder: Encoder) -> None:
    batch = encoder.encode(rows().slice(0, 0))

    assert [tuple(tensor.shape) for tensor in batch] == [
        (0,), (0, 3), (0, 2), (0, 6), (0, 4), (0,), (0,)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bounds", "inside"),
    [
        pytest.param({"at_most": 2}, [True, True, False, False], id="at most"),
        pytest.param({"at_least": 2, "at_most": 3}, [False, True, True, False], id="both included"),
        pytest.param({"at_most": 1, "or_null": True}, [True, False, False, True], id="or null"),
    ],
)
def test_a_slice_has_the_rows_within_its_bounds_and_nulls_if_it_says_so(
    bounds: dict[str, Any], inside: list[bool]
) -> None:
    table = pa.table({"day_count": [1, 2, 3, None]})
    part = SliceConfig(name="part", column="day_count", **bounds)

    assert cut_rows(table, [part])[:, 0].tolist() == inside
