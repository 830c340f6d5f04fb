"""The settings of each way of pooling a list, by `name`; the module of that name has the paper."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from mtl_model.strict_model import StrictModel

Side = Annotated[tuple[str, ...], Field(min_length=1)]


class MeanPoolingConfig(StrictModel):
    name: Literal["mean"]


class CNNConfig(StrictModel):
    name: Literal["cnn"]
    num_filters: PositiveInt
    filter_widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class DINConfig(StrictModel):
    """The target is the id whose embeddings the list shares."""

    name: Literal["din"]
    hidden_dims: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class TransformerConfig(StrictModel):
    """`num_heads` must divide the embedding dim."""

    name: Literal["transformer"]
    num_layers: PositiveInt
    num_heads: PositiveInt
    feedforward_dim: PositiveInt


class FactorizationConfig(StrictModel):
    """The fields of either side of a matrix factorisation; they feed nothing else.

    `penalty` times the squared factors of a row is added to each of its losses: frequent ids are held back as
    much as rare ones, and no row of a table outside the batch moves.
    """

    num_factors: PositiveInt
    sides: tuple[Side, Side]
    penalty: NonNegativeFloat = 0.0


PoolingConfig = Annotated[
    MeanPoolingConfig | CNNConfig | DINConfig | TransformerConfig, Field(discriminator="name")
]
