"""What a worker says of itself over HTTP: whether it lives and advances, whether it serves.

Written by the event loop, read by the HTTP server's threads: every attribute is replaced as a
whole, so that a reader never sees half of a change.
"""

from __future__ import annotations

from typing import NamedTuple

from streams.watchdog import HEALTHY, Verdict

__all__ = ["Condition", "Health"]


class Condition(NamedTuple):
    """Whether something holds, and in one line why not, or what is."""

    ok: bool
    line: str


class Health:
    """The conditions behind ``/healthz`` and ``/readyz``."""

    def __init__(self) -> None:
        self._verdict: Verdict = HEALTHY
        self._blocked: str | None = None
        self._phase: str | None = "starting"
        self._restoring: dict[int, tuple[int, int]] = {}

    @property
    def stalled_seconds(self) -> float:
        """How long the worker has had something to do and not advanced; 0 while it advances."""
        return self._verdict.stalled_seconds

    @property
    def serving(self) -> bool:
        """Whether the worker joined its group and has what it was assigned there."""
        return self._phase is None

    @property
    def restoring(self) -> tuple[int, int]:
        """Records read by the restores that are running now, and how many there are about."""
        counts = self._restoring.values()
        return sum(read for read, _ in counts), sum(of for _, of in counts)

    def alive(self) -> Condition:
        """Whether the worker advances, or has nothing to do."""
        if self._blocked is not None:
            return Condition(False, self._blocked)
        if not self._verdict.healthy:
            return Condition(False, self._verdict.reason)
        return Condition(True, "ok")

    def ready(self) -> Condition:
        """Whether the worker has its partitions' profiles and applies what comes."""
        if restoring := sorted(self._restoring.items()):
            lines = [
                f"restoring partition {number}: {read:,} of ~{of:,} profiles"
                for number, (read, of) in restoring
            ]
            return Condition(False, "; ".join(lines))
        if self._phase is not None:
            return Condition(False, self._phase)
        return self.alive()

    def on_verdict(self, verdict: Verdict) -> None:
        """The watchdog looked."""
        self._verdict = verdict

    def on_blocked(self, reason: str | None) -> None:
        """The event loop does not run, for this reason; None: it does."""
        self._blocked = reason

    def on_phase(self, phase: str) -> None:
        """Not serving yet, or no more: what is being done instead."""
        self._phase = phase

    def on_serving(self) -> None:
        """Every assigned partition is restored; actions are applied."""
        self._phase = None

    def on_restoring(self, partition: int, read: int, of: int) -> None:
        """So many of about so many records of a partition were read back."""
        self._restoring = {**self._restoring, partition: (read, of)}

    def on_restored(self, partition: int) -> None:
        """The restore of a partition ended, well or not."""
        self._restoring = {
            number: counts for number, counts in self._restoring.items() if number != partition
        }
