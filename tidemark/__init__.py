"""What joins streams, encoders and store: settings, composition root, command line, demo."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
