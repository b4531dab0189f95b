"""From the vectors of a text's tokens to the text's own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import nn

from encoders.errors import ModelUnsupportedError
from encoders.models.specs import DenseSpec, HeadSpec, LayerNormSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from encoders.models.batches import Group
    from encoders.models.specs import PoolingSpec

__all__ = ["build_heads", "pool"]


def pool(
    hidden: torch.Tensor, groups: Sequence[Group], spec: PoolingSpec, prompt_tokens: int
) -> torch.Tensor:
    """Pool each text's tokens, as sentence-transformers' ``Pooling`` does.

    Args:
        hidden: ``(t, d)``, texts end to end, of any floating type.
        groups: the texts of each length, in order.
        spec: the modes.
        prompt_tokens: how many tokens at the start of each text are the prompt's.

    Returns:
        ``(b, modes · d) float32``.
    """
    parts = []
    for start, count, length in groups:
        tokens = hidden[start : start + count * length].view(count, length, -1).float()
        # A text cut down to its prompt keeps its last token.
        skip = 0 if spec.include_prompt else min(prompt_tokens, length - 1)
        parts.append(torch.cat([_pool_one(tokens, mode, skip) for mode in spec.modes], dim=1))
    return torch.cat(parts)


def _pool_one(tokens: torch.Tensor, mode: str, skip: int) -> torch.Tensor:
    """``(n, length, d)`` to ``(n, d)``, the first `skip` tokens left out."""
    own = tokens[:, skip:]
    length = own.shape[1]
    match mode:
        case "mean":
            return own.mean(1)
        case "cls":
            return own[:, 0]
        case "lasttoken":
            return own[:, -1]
        case "max":
            return own.amax(1)
        case "mean_sqrt_len_tokens":
            return own.sum(1) / math.sqrt(length)
        case "weightedmean":  # tokens count by their position, the prompt's included in the count
            weights = torch.arange(skip + 1, skip + length + 1, device=own.device).float()
            weighted: torch.Tensor = (own * weights[:, None]).sum(1) / weights.sum()
            return weighted
    raise AssertionError(mode)  # the spec was checked


class _Dense(nn.Module):
    def __init__(self, spec: DenseSpec) -> None:
        super().__init__()
        self.linear = nn.Linear(spec.in_features, spec.out_features, bias=spec.bias)
        self.activation = getattr(nn, spec.activation)()
        self.residual: nn.Module | None = None
        if spec.residual:
            same = spec.in_features == spec.out_features
            self.residual = (
                nn.Identity()
                if same
                else nn.Linear(spec.in_features, spec.out_features, bias=False)
            )

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.activation(self.linear(vectors))
        return out if self.residual is None else out + self.residual(vectors)


class _LayerNorm(nn.Module):
    def __init__(self, spec: LayerNormSpec) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(spec.dimension)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.norm(vectors)
        return out


class _Normalize(nn.Module):
    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(vectors, dim=1)


def build_heads(specs: Sequence[HeadSpec], width: int) -> tuple[nn.Sequential, int]:
    """The modules after the pooling, with their weights, in float32.

    Args:
        specs: in order.
        width: of the pooled vector.

    Returns:
        The modules and the width of what they give.

    Raises:
        ModelUnsupportedError: weights or widths do not fit.
    """
    heads: list[nn.Module] = []
    for spec in specs:
        if not isinstance(spec, DenseSpec | LayerNormSpec):
            heads.append(_Normalize())
            continue
        takes = spec.in_features if isinstance(spec, DenseSpec) else spec.dimension
        if takes != width:
            raise ModelUnsupportedError(
                f"{spec.weights.parent} takes vectors of {takes} numbers, and gets {width}"
            )
        head = _Dense(spec) if isinstance(spec, DenseSpec) else _LayerNorm(spec)
        try:
            head.load_state_dict({k: v.float() for k, v in load_file(spec.weights).items()})
        except (RuntimeError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelUnsupportedError(
                f"{spec.weights} does not hold what its config.json says: {reason}"
            ) from error
        heads.append(head)
        width = spec.out_features if isinstance(spec, DenseSpec) else width
    return nn.Sequential(*heads).eval(), width
