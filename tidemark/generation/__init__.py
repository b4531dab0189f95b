"""A generation made anew beside the one that answers; see docs/generations.md."""

from __future__ import annotations

__all__: list[str] = []
