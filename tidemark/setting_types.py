"""What the groups of settings are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Group", "Port", "Positive", "PositiveInt"]

Positive = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class Group(BaseModel):
    """Frozen, and without fields that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")
