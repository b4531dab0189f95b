"""Settings of the way from an action to a vector."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 # pydantic reads it at run time
from typing import Annotated, Literal

from pydantic import Field, model_validator

from encoders.templates import Templates
from tidemark.setting_types import Group, PositiveInt

__all__ = ["EncoderSettings", "RedactionSettings", "SentimentSettings"]


class EncoderSettings(Group):
    """The text encoder: a model folder, a hub name, all-MiniLM-L6-v2, or ``hashing``."""

    model: str = "all-MiniLM-L6-v2"
    dim: PositiveInt = 384  # of ``hashing``; a model has its own
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: PositiveInt | None = None
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    max_tokens: PositiveInt | None = None
    batch_tokens: PositiveInt = 2_048
    prompt: str | None = None
    prompt_name: str | None = None
    truncate_dim: PositiveInt | None = None
    compile_mode: Literal["off", "default", "reduce-overhead", "max-autotune"] = "off"
    varlen: bool = True
    cache_mebibytes: Annotated[int, Field(ge=0)] = 256
    disk_cache_mebibytes: Annotated[int, Field(ge=0)] = 1_024
    disk_cache: Path | None = None
    templates: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _readable(self) -> EncoderSettings:
        Templates(self.templates)  # raises a ValueError that names the template
        return self

    @model_validator(mode="after")
    def _one_prompt(self) -> EncoderSettings:
        if self.prompt is not None and self.prompt_name is not None:
            msg = "prompt and prompt_name are both given; expected one of them"
            raise ValueError(msg)
        return self


class RedactionSettings(Group):
    """What is taken out of users' words before they are encoded, cached or logged."""

    kinds: tuple[Literal["email", "ip", "token", "card", "phone"], ...] = (
        "email", "ip", "token", "card", "phone",
    )  # fmt: skip
    phone_regions: tuple[Annotated[str, Field(pattern="^[A-Z]{2}$")], ...] = ("US", "CN")


class SentimentSettings(Group):
    """How users' words change a profile in their own direction.

    ``head`` is a file that ``tidemark sentiment train`` wrote; ``auto`` the one that comes
    along, where it fits the encoder, else none and a warning; ``none`` for none. ``worst`` is s
    of the worst feeling.
    """

    head: str = "auto"
    worst: Annotated[float, Field(ge=-1, le=0)] = -0.25
