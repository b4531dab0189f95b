"""Attention over texts of different lengths laid end to end, without padding.

transformers calls the attention function that a model's config names, and asks its mask function
for a mask (``AttentionInterface``, ``AttentionMaskInterface``). Ours attends within each text, so
that the model runs on ``(1, t)`` token ids as if on one text, and no step is spent on padding. The
texts are sorted by length: those of equal length are a plain batch, and need no mask.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from encoders.models.batches import Group

__all__ = ["PACKED", "packed"]

#: The name that a config gives to this attention.
PACKED = "tidemark_packed"

#: Arguments of attention functions that change the result and that we do not know to apply.
_UNKNOWN = ("softcap", "s_aux", "position_bias")

#: What FlashAttention computes with.
_FLASH = (torch.bfloat16, torch.float16)

_running = threading.local()


@contextmanager
def packed(groups: Sequence[Group], ends: torch.Tensor | None = None) -> Iterator[None]:
    """What runs in this thread meanwhile has these texts end to end in each row.

    Args:
        groups: the texts of each length.
        ends: on CUDA, ``(b + 1,) int32``, 0 and where each text ends: all of them are then one
            call of FlashAttention (`torch.nn.attention.varlen`) instead of one a length.
    """
    _running.groups, _running.ends = groups, ends
    try:
        yield
    finally:
        _running.groups = _running.ends = None


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """``(1, heads, t, d)`` to ``(1, t, heads, d)``; transformers' own where not packed."""
    if asked := [name for name in _UNKNOWN if kwargs.get(name) is not None]:
        raise NotImplementedError(f"attention with {asked[0]}")
    groups: Sequence[Group] | None = getattr(_running, "groups", None)
    if groups is None:
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout,
            scaling=scaling, is_causal=is_causal, **kwargs,
        )  # fmt: skip
        return found
    causal = bool(getattr(module, "is_causal", True)) if is_causal is None else is_causal
    shared_heads = query.shape[1] != key.shape[1]
    if _running.ends is not None and query.dtype in _FLASH:
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # (t, heads, d)
        longest = max(length for _, _, length in groups)
        out = varlen_attn(
            q, k, v, _running.ends, _running.ends, longest, longest,
            scale=scaling, window_size=(-1, 0) if causal else (-1, -1), enable_gqa=shared_heads,
        )  # fmt: skip
        assert isinstance(out, torch.Tensor)  # noqa: S101 # no auxiliary output was asked for
        return out.unsqueeze(0), None
    parts = []
    for start, count, length in groups:
        # (heads, t, d) -> (count, heads, length, d), without a copy
        q, k, v = (
            x[0, :, start : start + count * length]
            .view(x.shape[1], count, length, x.shape[3])
            .transpose(0, 1)
            for x in (query, key, value)
        )
        out = scaled_dot_product_attention(
            q, k, v, is_causal=causal and length > 1, scale=scaling, enable_gqa=shared_heads
        )
        parts.append(out.transpose(1, 2).flatten(0, 1))
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).unsqueeze(0), None


def _mask(*args: Any, **kwargs: Any) -> torch.Tensor | None:
    """None where packed: the texts do not see each other by construction."""
    if getattr(_running, "groups", None) is not None:
        return None
    mask: torch.Tensor | None = sdpa_mask(*args, **kwargs)
    return mask


AttentionInterface.register(PACKED, _attention)
AttentionMaskInterface.register(PACKED, _mask)
