"""What a model learns from another domain: `model.transfer`. Each method's file has its formula."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mtl_model.strict_model import StrictModel

PartName = Literal["embedding", "lists", "sharing", "towers", "heads"]


class FreezeConfig(StrictModel):
    """Parts of the model that stay as they began, for the first `epochs` or for good."""

    parts: Annotated[tuple[PartName, ...], Field(min_length=1)]
    epochs: PositiveInt | None = None


class InstanceWeightingConfig(StrictModel):
    """The domain classifier passes over the training files `passes` times.

    It does not read the field that tells the domains apart, nor the `excluded_fields`: what is true of one
    domain alone would leave the other's rows without weight.
    """

    max_weight: Annotated[float, Field(ge=1.0)] = 10.0
    passes: PositiveInt = 1
    learning_rate: PositiveFloat = 0.1
    excluded_fields: tuple[str, ...] = ()


class AlignmentConfig(StrictModel):
    """`weight` times the distance of the domains is added to the loss.

    The distance is that of up to `max_rows` rows of either domain in each global batch.
    """

    name: Literal["mmd", "coral"]
    weight: PositiveFloat
    max_rows: Annotated[int, Field(ge=2)] = 512


class TransferConfig(StrictModel):
    """`target` names one of the model's slices: its rows are the target domain, all others the source."""

    freeze: FreezeConfig | None = None
    target: str | None = None
    instance_weighting: InstanceWeightingConfig | None = None
    alignment: AlignmentConfig | None = None

    @model_validator(mode="after")
    def check_rules(self) -> Self:
        needs_target = bool(self.instance_weighting or self.alignment)
        if needs_target != (self.target is not None):
            raise ValueError(
                "transfer: instance_weighting and alignment need a target, and nothing else does; target is "
                f"{self.target!r}"
            )
        return self

    def check_names(self, slices: Sequence[str], fields: Sequence[str]) -> None:
        """Raises ValueError where something is named that the model has not."""
        if self.target is not None and self.target not in slices:
            raise ValueError(f"transfer: target {self.target!r} is none of the slices {list(slices)}")
        excluded = self.instance_weighting.excluded_fields if self.instance_weighting else ()
        if unknown := sorted(set(excluded) - set(fields)):
            raise ValueError(f"transfer: excluded_fields {unknown} are no fields of the model")
