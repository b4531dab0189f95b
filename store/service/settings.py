"""What the service is told beside the objects it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.tokens import Token

__all__ = ["ServiceSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Limits, which refuse and do not cut, and who is let in.

    Attributes:
        request_seconds: after which a request is answered with 504, unless it says otherwise.
        max_request_seconds: that it may say.
        max_waiting: requests of a kind (reading, forgetting, still being sent) at once; one more
            is answered with 429.
        tokens: that are let in; without any, everyone is.
    """

    max_body_bytes: int = 1024 * 1024
    max_text_chars: int = 8_000
    max_id_chars: int = 256
    request_seconds: float = 10.0
    max_request_seconds: float = 60.0
    max_waiting: int = 256
    tokens: tuple[Token, ...] = ()
