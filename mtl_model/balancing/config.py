"""How the tasks' losses are balanced: `model.balancing` of a scenario. Each method's file has its formula."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mtl_model.strict_model import StrictModel


class PlainBalancingConfig(StrictModel):
    """The methods without a setting."""

    name: Literal["fixed", "mgda", "pcgrad", "aligned_mtl", "imtl_g", "nash_mtl", "upgrad"]


class LearnedWeightsConfig(StrictModel):
    """`learning_rate` is that of Adam on the weights, not on the model."""

    name: Literal["uncertainty", "imtl_l"]
    learning_rate: PositiveFloat = 0.025


class DWAConfig(StrictModel):
    """The rates of descent are taken from mean losses over `window_steps` steps."""

    name: Literal["dwa"]
    temperature: PositiveFloat = 2.0
    window_steps: PositiveInt = 100


class STCHConfig(StrictModel):
    """The smaller `smoothing`, the more the worst task has all the weight."""

    name: Literal["stch"]
    smoothing: PositiveFloat = 0.1


class FAMOConfig(StrictModel):
    """`weight_decay` draws the weights back to equal ones."""

    name: Literal["famo"]
    learning_rate: PositiveFloat = 0.025
    weight_decay: PositiveFloat = 1.0e-3


class GradNormConfig(StrictModel):
    """The larger `asymmetry`, the more weight goes to tasks that learn slowly."""

    name: Literal["gradnorm"]
    asymmetry: PositiveFloat = 1.5
    learning_rate: PositiveFloat = 0.025


class CAGradConfig(StrictModel):
    """`radius`: how far the direction may be from the mean gradient, as a share of that one's length."""

    name: Literal["cagrad"]
    radius: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5


BalancingConfig = Annotated[
    PlainBalancingConfig
    | LearnedWeightsConfig
    | DWAConfig
    | STCHConfig
    | FAMOConfig
    | GradNormConfig
    | CAGradConfig,
    Field(discriminator="name"),
]
