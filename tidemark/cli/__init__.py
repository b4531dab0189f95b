"""The command ``tidemark``."""

from __future__ import annotations

from tidemark.cli.main import main

__all__ = ["main"]
