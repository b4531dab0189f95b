"""What the dashboard is told beside what it is served with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.dashboard.letters import LetterSource

__all__ = ["DashboardParts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardParts:
    """Where the figures come from, and how often.

    Attributes:
        workers: addresses of the workers' metrics, ``http://host:port``.
        refresh_seconds: between two frames.
        letters: the dead letters; None where there is no topic to follow.
        most_streams: pages that watch at once.
    """

    workers: tuple[str, ...] = ()
    refresh_seconds: float = 1.0
    letters: LetterSource | None = None
    most_streams: int = 32
