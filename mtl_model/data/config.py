"""The fields that a model reads, and what it must know of them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from mtl_model.layers.config import DINConfig, MeanPoolingConfig, PoolingConfig, TransformerConfig
from mtl_model.strict_model import StrictModel


class IdField(StrictModel):
    """A category with an embedding row per value seen at least `min_count` times in the training examples."""

    kind: Literal["id"]
    name: str
    min_count: PositiveInt = 1
    embedding_dim: PositiveInt | None = None


class NumericField(StrictModel):
    """A number, standardised (after a signed log1p if asked); `num_buckets` > 0 also embeds its quantile."""

    kind: Literal["numeric"]
    name: str
    log1p: bool = False
    num_buckets: NonNegativeInt = 0
    embedding_dim: PositiveInt | None = None


class HashedIdField(StrictModel):
    """A category without a vocabulary: a value's embedding row is its hash modulo `num_hash_rows`.

    New values have a row at once, and values may share one.
    """

    kind: Literal["hashed_id"]
    name: str
    num_hash_rows: PositiveInt
    embedding_dim: PositiveInt | None = None


class IdListField(StrictModel):
    """Several values in a row, such as genres or what was bought before, the oldest first.

    The last `max_length` are embedded, then pooled into one vector. They have a vocabulary and embeddings of
    their own, with `num_hash_rows` an embedding per hash, or with `shares` those of an id field.
    """

    kind: Literal["id_list"]
    name: str
    max_length: PositiveInt
    pooling: PoolingConfig = MeanPoolingConfig(name="mean")
    shares: str | None = None
    min_count: PositiveInt = 1
    num_hash_rows: PositiveInt | None = None
    embedding_dim: PositiveInt | None = None

    @model_validator(mode="after")
    def check_rules(self) -> Self:
        own = self.embedding_dim is not None or self.num_hash_rows is not None or self.min_count != 1
        if self.shares is not None and own:
            raise ValueError(
                f"field {self.name} shares the embeddings of {self.shares}: embedding_dim, min_count and "
                "num_hash_rows are set there"
            )
        if self.num_hash_rows is not None and self.min_count != 1:
            raise ValueError(f"field {self.name} is hashed, which knows no min_count: leave one of both out")
        return self


InputField = Annotated[IdField | HashedIdField | NumericField | IdListField, Field(discriminator="kind")]
EmbeddedField = IdField | HashedIdField | NumericField | IdListField


class NumericStatistics(StrictModel):
    """What the training examples say about a number; nulls left out.

    `mean` and `std` are of the value as the model sees it (after sign(x) * log1p(|x|) if the field says so),
    `boundaries` are of the raw value, strictly increasing: a value has bucket 1 + the number of boundaries
    below it; bucket 0 is for a missing value.
    """

    mean: float
    std: NonNegativeFloat
    boundaries: tuple[float, ...] = ()

    @field_validator("boundaries")
    @classmethod
    def check_boundaries(cls, boundaries: tuple[float, ...]) -> tuple[float, ...]:
        if any(low >= high for low, high in pairwise(boundaries)):
            raise ValueError(f"boundaries must be strictly increasing, got {list(boundaries)}")
        return boundaries


def check_lists(
    lists: Sequence[IdListField], id_fields: Sequence[IdField | HashedIdField], embedding_dim: int
) -> None:
    """Raises ValueError where a list shares what it cannot, or its pooling does not fit its embeddings."""
    dims = {field.name: field.embedding_dim or embedding_dim for field in id_fields}
    for field in lists:
        if field.shares is not None and field.shares not in dims:
            raise ValueError(
                f"field {field.name} shares {field.shares!r}, which is none of the id fields {list(dims)}"
            )
        dim = dims[field.shares] if field.shares else field.embedding_dim or embedding_dim
        if isinstance(field.pooling, DINConfig) and field.shares is None:
            raise ValueError(
                f"field {field.name} has pooling din, whose target is the id field that it shares: set shares"
            )
        if isinstance(field.pooling, TransformerConfig) and dim % field.pooling.num_heads:
            raise ValueError(
                f"the embedding dim of field {field.name}, {dim}, must be a multiple of its num_heads, got "
                f"{field.pooling.num_heads}"
            )


def check_factors(
    factored: Sequence[str], embedded: Sequence[EmbeddedField], lists: Sequence[IdListField]
) -> None:
    """Raises ValueError where a field of the factorisation has no embedding, or not of its own."""
    known = [field.name for field in (*embedded, *(field for field in lists if field.shares))]
    if unknown := sorted(set(factored) - set(known)):
        raise ValueError(f"factorization: {unknown} have no embedding; these have: {known}")
    if len(set(factored)) < len(factored):
        raise ValueError(f"factorization: each field stands in one side, once, got {list(factored)}")
    of_own_dim = [field.name for field in embedded if field.embedding_dim and field.name in factored]
    if of_own_dim:
        raise ValueError(
            f"factorization: num_factors is the dim of {of_own_dim}: leave their embedding_dim out"
        )
    for field in lists:
        if field.shares and (field.name in factored) != (field.shares in factored):
            raise ValueError(
                f"field {field.name} shares the embeddings of {field.shares}: both belong to the "
                "factorization, or neither"
            )
        if field.name in factored and field.pooling.name != "mean":
            raise ValueError(f"factorization: {field.name} is pooled by its mean, got {field.pooling.name}")
