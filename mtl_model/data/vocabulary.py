"""The values of a field and their places: known values, found by their hashes, or the hashes themselves.

Arrow's own look-up makes its hash table anew at each call, which costs what the vocabulary has, not what is
looked up.

Shapes: V = known values, B = looked-up values.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

ABSENT = -1

Places = npt.NDArray[np.int64]


class Vocabulary:
    """`values` (V,), texts in the order of their rows."""

    def __init__(self, values: pa.Array) -> None:
        """Raises ValueError if there are nulls or repeated values."""
        self.values = values
        hashes = hash_texts(values)
        self.order = np.argsort(hashes)
        self.hashes = hashes[self.order]
        may_repeat = values.null_count or bool((self.hashes[1:] == self.hashes[:-1]).any())
        if may_repeat and (values.null_count or len(values.unique()) != len(values)):
            raise ValueError("has nulls or repeated values")

    def __len__(self) -> int:
        return len(self.values)

    def find(self, values: pa.Array) -> Places:
        """The place of each text (B,), or ABSENT: a hash says where to look, the text itself decides."""
        places = np.full(len(values), ABSENT)
        hashes = hash_texts(values)
        slots = np.searchsorted(self.hashes, hashes)
        known = np.flatnonzero(slots < len(self))
        known = known[self.hashes[slots[known]] == hashes[known]]
        found = self.order[slots[known]]
        same = pc.equal(self.values.take(pa.array(found)), values.take(pa.array(known)))
        is_same = same.to_numpy(zero_copy_only=False).astype(bool)
        places[known[is_same]] = found[is_same]
        others = known[~is_same]  # two texts of one hash: as good as never
        if len(others):
            looked_up = pc.index_in(values.take(pa.array(others)), value_set=self.values)
            places[others] = pc.fill_null(looked_up, ABSENT).to_numpy()
        return places


class HashedVocabulary:
    """A place for every text, by its hash: texts may share one."""

    def __init__(self, num_places: int) -> None:
        self.num_places = num_places

    def __len__(self) -> int:
        return self.num_places

    def find(self, values: pa.Array) -> Places:
        """The place of each text (B,)."""
        return (hash_texts(values) % np.uint64(self.num_places)).astype(np.int64)


def hash_texts(texts: pa.Array) -> npt.NDArray[np.uint64]:
    """Hashes of texts (B,), the same in every run."""
    objects: npt.NDArray[Any] = texts.to_numpy(zero_copy_only=False)
    return pd.util.hash_array(objects, categorize=False)
