"""The parent of every part of a config."""

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """Immutable, and an unknown key is an error: a misspelled setting must not be ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)
