"""Whether vectors of two encoders mean the same."""

from __future__ import annotations

import re

__all__ = ["same_space"]

#: A model's id, with what its vectors mean in the middle.
_MODEL_ID = re.compile(r"[^:]+:([0-9a-f]{12})-\d+:\w+")


def same_space(one: str, other: str) -> bool:
    """Whether what is learned of the vectors of one encoder holds for those of the other.

    Rounding does not turn a vector around, a folder may have another name, and where a long text is
    cut is no matter of the vectors.

    Args:
        one: an ``encoder_id``.
        other: another, or the same.

    >>> same_space("mini:0123456789ab-256:bfloat16", "/models/mini:0123456789ab-128:float32")
    True
    """
    return _space(one) == _space(other)


def _space(encoder_id: str) -> str:
    found = _MODEL_ID.fullmatch(encoder_id)
    return encoder_id if found is None else found[1]
