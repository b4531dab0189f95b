"""What the service is told beside the objects it is made of."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ServiceSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Limits: a request over one is refused, not cut."""

    max_body_bytes: int = 1024 * 1024
    max_text_chars: int = 8_000
    max_id_chars: int = 256
