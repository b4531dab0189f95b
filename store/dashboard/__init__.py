"""The page at ``/dashboard``: what operators see, a page per user, and a map of all of it."""

from __future__ import annotations

__all__: list[str] = []
