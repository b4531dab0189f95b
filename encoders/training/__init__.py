"""What is learned from logs of actions, with torch; each module says what for."""

from __future__ import annotations

__all__: list[str] = []
