"""Looks a set-up over: `gather` and `machine` gather facts, and pure functions judge them."""

from __future__ import annotations

__all__: list[str] = []
