"""The rows of a source and of a target domain, how they are modelled, and how a model is judged."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from mtl_model.predict import Predictor

IS_TARGET = "is_target"


class Method(NamedTuple):
    """Trains on the rows of a domain or of both, from scratch or from the weights of the source's model."""

    name: str
    rows: Literal["source", "target", "both"] = "target"
    is_warm: bool = False
    transfer: Mapping[str, Any] = {}


class Domains(NamedTuple):
    """Rows have an `example_id`, the fields and labels of the model, and the number IS_TARGET, 0 or 1.

    `describe` gives the model of a method; `judge` measures its predictions for the target's later rows.
    """

    name: str
    source: pa.Table
    target: pa.Table
    describe: Callable[[Method], dict[str, Any]]
    judge: Callable[[Predictor], dict[str, float]]


def mark(rows: pa.Table, *, is_target: bool) -> pa.Table:
    return rows.append_column(IS_TARGET, pa.array([float(is_target)] * rows.num_rows))
