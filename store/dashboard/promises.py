"""What is promised, and how it is kept: freshness, and candidates better than the popular items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from store.dashboard.history import Ledger

if TYPE_CHECKING:
    from store.dashboard.figures import Window

__all__ = ["RANKINGS", "Promises"]

#: Whose recall is sampled.
RANKINGS = ("served", "profile", "popularity")


class Promises:
    """Looks back further than a window: a quarter of an hour, and to the service's start.

    Args:
        seconds: that are looked back.
    """

    def __init__(self, seconds: float = 900.0) -> None:
        self._seconds = seconds
        self._ledger = Ledger(seconds)

    def add(self, at: float, now: Window) -> dict[str, Any]:
        """``freshness`` and ``quality`` as the page shows them; None where not reported.

        Args:
            at: seconds, from any beginning.
            now: of this service.
        """
        counts = self._counts(now)
        self._ledger.add(at, counts)
        grown = self._ledger.grown(counts)
        return {
            "freshness": self._freshness(now, counts, grown),
            "quality": self._quality(now, counts, grown),
        }

    def _counts(self, now: Window) -> dict[str, float]:
        counts = {"good": 0.0, "bad": 0.0, "trials": 0.0}
        for one in now.readings("tidemark_freshness_profiles_total"):
            counts["good" if one.labels.get("within_slo") == "true" else "bad"] += one.value
        counts["trials"] = now.total("tidemark_online_recall_trials_total") or 0.0
        for ranking in RANKINGS:
            counts[ranking] = sum(
                one.value
                for one in now.readings("tidemark_online_recall_hits_total")
                if one.labels.get("ranking") == ranking
            )
        return counts

    def _freshness(
        self, now: Window, counts: dict[str, float], grown: dict[str, float]
    ) -> dict[str, Any] | None:
        seconds = now.highest("tidemark_freshness_slo_seconds")
        objective = now.highest("tidemark_freshness_objective_ratio")
        if seconds is None or objective is None:
            return None
        return {
            "slo_seconds": seconds,
            "objective": objective,
            "window_seconds": self._seconds,
            "window": _budget(grown["good"], grown["bad"], objective),
            "start": _budget(counts["good"], counts["bad"], objective),
        }

    def _quality(
        self, now: Window, counts: dict[str, float], grown: dict[str, float]
    ) -> dict[str, Any] | None:
        if not now.reported("tidemark_online_recall_trials_total"):
            return None
        return {
            "window_seconds": self._seconds,
            "window": _recalls(grown),
            "start": _recalls(counts),
        }


def _budget(good: float, bad: float, objective: float) -> dict[str, float | None]:
    """``burn``: how fast the error budget is used; at 1 it is used up exactly."""
    total = good + bad
    if not total:
        return {"profiles": 0.0, "within": None, "burn": None, "left": None}
    burn = (bad / total) / (1 - objective) if objective < 1 else None
    return {
        "profiles": total,
        "within": good / total,
        "burn": burn,
        "left": None if burn is None else 1 - burn,
    }


def _recalls(counts: dict[str, float]) -> dict[str, float | None]:
    trials = counts["trials"]
    return {
        "trials": trials,
        **{one: counts[one] / trials if trials else None for one in RANKINGS},
    }
