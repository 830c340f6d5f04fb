import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_model.data import vocabulary
from mtl_model.data.vocabulary import ABSENT, Vocabulary, hash_texts

TEXTS = st.text("abäß1", max_size=3)


def places_of(values: list[str], known: list[str]) -> list[int]:
    return [known.index(value) if value in known else ABSENT for value in values]


@given(st.lists(TEXTS, unique=True), st.lists(TEXTS))
def test_each_text_is_found_at_its_place(known: list[str], values: list[str]) -> None:
    found = Vocabulary(pa.array(known, pa.string())).find(pa.array(values, pa.string()))

    assert found.tolist() == places_of(values, known)


def test_texts_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def hash_badly(texts: pa.Array) -> npt.NDArray[np.uint64]:
        return hash_texts(texts) % 3

    monkeypatch.setattr(vocabulary, "hash_texts", hash_badly)
    known, values = list("abcdefgh"), list("hgxfyedczbak")

    assert Vocabulary(pa.array(known)).find(pa.array(values)).tolist() == places_of(values, known)


@pytest.mark.parametrize("values", [["a", "b", "a"], ["a", None]], ids=["repeated", "null"])
def test_a_vocabulary_knows_a_text_once(values: list[str | None]) -> None:
    with pytest.raises(ValueError, match="has nulls or repeated values"):
        Vocabulary(pa.array(values))
