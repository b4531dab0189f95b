"""``tidemark top``: a live view of all processes on the terminal."""

from __future__ import annotations

from tidemark.cli.top.command import top

__all__ = ["top"]
