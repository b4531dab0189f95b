"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Status", "failed", "not_applicable", "ok", "warning"]


class Status(StrEnum):
    """How it stands with one thing."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        check: its name, ``area.what``.
        status: how it stands.
        found: what was found, in words.
        fix: what to do; a command where one mends it. Empty where nothing is to be done.
    """

    check: str
    status: Status
    found: str
    fix: str = ""


def ok(check: str, found: str) -> Finding:
    """As it should be."""
    return Finding(check, Status.OK, found)


def warning(check: str, found: str, fix: str) -> Finding:
    """It works, and less holds than could."""
    return Finding(check, Status.WARNING, found, fix)


def failed(check: str, found: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(check, Status.FAILED, found, fix)


def not_applicable(check: str, found: str) -> Finding:
    """It cannot be told here, or there is no such thing."""
    return Finding(check, Status.NOT_APPLICABLE, found)
