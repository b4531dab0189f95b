"""Makes a text encoder's vectors better at telling what a user takes next."""

from __future__ import annotations

__all__: list[str] = []
