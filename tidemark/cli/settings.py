"""``tidemark settings``."""

from __future__ import annotations

import json

from tidemark.cli.common import ConfigFile, console
from tidemark.settings import load_settings

__all__ = ["show"]


def show(config: ConfigFile = None) -> None:
    """Print every setting as it stands, from file, environment and defaults."""
    console.print_json(json.dumps(load_settings(config).model_dump(mode="json")))
