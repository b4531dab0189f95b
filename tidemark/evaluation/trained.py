"""Baselines that are trained, SASRec and GRU4Rec, as what is evaluated."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoders.training.sequence.id_model import IdModelSettings
    from tidemark.evaluation.log import ActionLog

__all__ = ["Schedule", "TrainedBaseline", "gru4rec", "sasrec"]

logger = logging.getLogger(__name__)

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When it is trained again.

    Attributes:
        every_ms: of the log's time, at least.
        growth: and by this share of what it was trained on last the log has grown.
    """

    every_ms: int = _DAY_MS
    growth: float = 0.01


class TrainedBaseline:
    """A net over a user's last items; trained when it is first asked, and then by a schedule.

    Between two trainings it knows what each user did since, but learns nothing from it.

    Args:
        log: what is replayed.
        positive: ``(n,)``: which actions are to be foretold. Nothing at or behind the place that
            was learned last is looked at.
        settings: of net and training.
        schedule: when it is trained again.

    Attributes:
        name: as it stands in reports.
        trained: how often it was trained.
    """

    def __init__(
        self,
        log: ActionLog,
        positive: NDArray[np.bool_],
        settings: IdModelSettings,
        schedule: Schedule | None = None,
    ) -> None:
        from encoders.training.sequence.id_model import IdModel  # noqa: PLC0415 # loads torch

        self.name: str = settings.net
        self.trained = 0
        self._log, self._positive = log, positive
        self._schedule = Schedule() if schedule is None else schedule
        self._model = IdModel(len(log.catalogue), settings)
        self._length = settings.length
        self._latest: dict[int, list[int]] = {}
        self._seen: dict[int, set[int]] = {}
        self._users: list[int] = []
        self._items: list[int] = []
        self._wanted: list[bool] = []
        self._known = 0
        self._trained_at = 0

    def learn(self, begin: int, end: int) -> None:
        """See `Recommender.learn`."""
        log = self._log
        for user, item, positive in zip(
            log.users[begin:end].tolist(), log.items[begin:end].tolist(),
            self._positive[begin:end].tolist(), strict=True,
        ):  # fmt: skip
            if item < 0:
                continue
            seen = self._seen.setdefault(user, set())
            self._users.append(user)
            self._items.append(item)
            # What is asked for is new to the user, and so is what is learned.
            self._wanted.append(positive and item not in seen)
            seen.add(item)
            latest = self._latest.setdefault(user, [])
            latest.append(item)
            if len(latest) > self._length:
                del latest[0]

    def scores(self, place: int) -> NDArray[np.float32]:
        """See `Recommender.scores`; all alike for a user without items, and before any training."""
        now = int(self._log.ts[place])
        if self._is_due(now):
            self._train(now)
        history = self._latest.get(int(self._log.users[place]))
        if not history or not self.trained:
            return np.zeros(len(self._log.catalogue), np.float32)
        return self._model.scores(np.array(history, np.int32))

    def _is_due(self, now: int) -> bool:
        if not self.trained:
            return any(self._wanted)
        return now - self._trained_at >= self._schedule.every_ms and len(self._users) >= (
            self._known * (1 + self._schedule.growth)
        )

    def _train(self, now: int) -> None:
        self._model.fit(
            np.array(self._users, np.int32), np.array(self._items, np.int32),
            np.array(self._wanted, np.bool_), self._known,
        )  # fmt: skip
        self._known, self._trained_at = len(self._users), now
        self.trained += 1
        logger.info(
            "%s was trained, time %d: actions=%d loss=%.3f",
            self.name, self.trained, self._known, self._model.loss,
        )  # fmt: skip


def sasrec(log: ActionLog, positive: NDArray[np.bool_], *, seed: int = 0) -> TrainedBaseline:
    """SASRec as it stands in reports; see `TrainedBaseline`."""
    from encoders.training.sequence.id_model import IdModelSettings  # noqa: PLC0415 # loads torch

    return TrainedBaseline(log, positive, IdModelSettings(net="sasrec", seed=seed))


def gru4rec(log: ActionLog, positive: NDArray[np.bool_], *, seed: int = 0) -> TrainedBaseline:
    """GRU4Rec as it stands in reports; see `TrainedBaseline`."""
    from encoders.training.sequence.id_model import IdModelSettings  # noqa: PLC0415 # loads torch

    return TrainedBaseline(log, positive, IdModelSettings(net="gru4rec", layers=1, seed=seed))
