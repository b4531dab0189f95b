"""When a process that ended by itself is started again. Pure."""

from __future__ import annotations

__all__ = ["Restarts"]

#: Pauses before a start; one that ran for so long begins with the first again.
_PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
_LONG_SECONDS = 300.0


class Restarts:
    """Of one process: longer and longer pauses, and an end where it never runs for long."""

    def __init__(self) -> None:
        self._tries = 0

    def pause(self, ran: float) -> float | None:
        """How many seconds to wait before it is started again; None where that is in vain.

        Args:
            ran: seconds from its start to its end.
        """
        if ran >= _LONG_SECONDS:
            self._tries = 0
        if self._tries == len(_PAUSES):
            return None
        pause = _PAUSES[self._tries]
        self._tries += 1
        return pause
