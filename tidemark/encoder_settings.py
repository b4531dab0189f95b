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
    """also a model folder, a hub name, or `hashing`"""
    dim: PositiveInt = 384  # of ``hashing``; a model has its own
    """of `hashing`; a model has its own"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`cpu`, `cuda`, or CUDA where there is one"""
    threads: PositiveInt | None = None
    """CPU threads"""
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    """`bfloat16` where the device has it in hardware (AMX, AVX512-BF16, CUDA), else `float32`;
    `int8`"""
    max_tokens: PositiveInt | None = None
    """a longer text is cut"""
    batch_tokens: PositiveInt = 2_048
    """tokens of one forward pass"""
    prompt: str | None = None
    """put before each text"""
    prompt_name: str | None = None
    """or one of the prompts that its makers chose, by name"""
    truncate_dim: PositiveInt | None = None
    """keep this many components (Matryoshka)"""
    compile_mode: Literal["off", "default", "reduce-overhead", "max-autotune"] = "off"
    """not with `int8`; of `torch.compile`: `default`, `reduce-overhead` (CUDA graphs),
    `max-autotune`; texts are then padded to a few shapes, each compiled at first"""
    varlen: bool = True
    """on CUDA, attention over packed texts is one call of FlashAttention"""
    cache_mebibytes: Annotated[int, Field(ge=0)] = 256
    """in-memory cache of encoded texts"""
    disk_cache_mebibytes: Annotated[int, Field(ge=0)] = 1_024
    """cache of encoded texts on disk, shared by the workers of a machine; 0: none"""
    disk_cache: Path | None = None
    """its folder"""
    templates: dict[str, str] = Field(default_factory=dict)
    """texts by action; fields in braces"""

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
    """what is taken out of users' words before they are encoded, cached or logged: `email`, `ip`,
    `token`, `card`, `phone`"""
    phone_regions: tuple[Annotated[str, Field(pattern="^[A-Z]{2}$")], ...] = ("US", "CN")
    """countries whose telephone numbers are known without a `+`"""


class SentimentSettings(Group):
    """How users' words change a profile in their own direction.

    ``head`` is a file that ``tidemark sentiment train`` wrote; ``auto`` the one that comes
    along, where it fits the encoder, else none and a warning; ``none`` for none. ``worst`` is s
    of the worst feeling.
    """

    head: str = "auto"
    """a file of `tidemark sentiment train`; `auto`: the one that comes along, where it fits the
    encoder, else a warning; `none`"""
    worst: Annotated[float, Field(ge=-1, le=0)] = -0.25
    """s of the worst feeling"""
