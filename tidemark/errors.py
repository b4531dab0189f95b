"""Errors of the command line.

TidemarkError
├── SettingsError      a setting is wrong: names it, what it is, what was expected
└── NotReadyError      a part did not start in time
"""

from __future__ import annotations

__all__ = ["NotReadyError", "SettingsError", "TidemarkError"]


class TidemarkError(Exception):
    """Base of the command line's own errors."""


class SettingsError(TidemarkError):
    """A setting is wrong."""


class NotReadyError(TidemarkError):
    """A part did not start in time."""
