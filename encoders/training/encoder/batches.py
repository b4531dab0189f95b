"""Makes batches of moments: their candidates, and the few rows of vectors that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from encoders.training.encoder.moments import fold_weights
from encoders.training.encoder.objective import Batch, Candidates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoders.training.encoder.actions import Actions
    from encoders.training.encoder.moments import Moments
    from encoders.training.encoder.plan import Plan
    from encoders.training.encoder.popularity import Popularity

__all__ = ["Batches"]

#: So many moments that follow each other stay together: they share a look at popularity.
_RUN = 64
#: An epoch has at least so many batches: of a short log they are smaller.
_STEPS = 24


class Batches:
    """Moments of one log, ready to be computed with.

    Args:
        actions: that the moments are of.
        moments: all that are used, in time order.
        popularity: over the same actions.
        plan: how.
        trained_on: how many of the actions are: how often items were taken is counted on them.
    """

    def __init__(
        self,
        actions: Actions,
        moments: Moments,
        popularity: Popularity,
        plan: Plan,
        trained_on: int,
    ) -> None:
        self.moments = moments
        self.catalogue = actions.catalogue
        self._plan = plan
        self._popularity = torch.from_numpy(popularity.logs)
        self._looks = popularity.look_of(moments.places)
        self._weights = np.stack([fold_weights(moments, k) for k in plan.keeps])
        past = actions.items[:trained_on]
        taken = np.bincount(past[past >= 0], minlength=actions.catalogue)
        share = taken / max(1, taken.sum())
        self._drawn = 0.5 / actions.catalogue + 0.5 * share
        self._importance = np.ones(len(moments), np.float32)
        if plan.half_life is not None:
            age = (trained_on - moments.places) / trained_on / plan.half_life
            self._importance = (0.5**age).astype(np.float32)

    def shuffled(
        self, chosen: NDArray[np.int64], draws: np.random.Generator
    ) -> list[NDArray[np.int64]]:
        """Places of moments in batches: runs of neighbours in time, in an order drawn at random."""
        runs = np.array_split(chosen, max(1, len(chosen) // _RUN))
        order = draws.permutation(len(runs))
        together = max(1, min(self._plan.batch, len(chosen) // _STEPS) // _RUN)
        return [
            np.concatenate([runs[run] for run in order[start : start + together]])
            for start in range(0, len(order), together)
        ]

    def drawn(self, draws: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Candidates, and log of how often each is expected among them."""
        items = draws.choice(self.catalogue, self._plan.negatives, p=self._drawn)
        return items, np.log(self._drawn[items] * self._plan.negatives).astype(np.float32)

    def all(
        self, most: int, draws: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The whole catalogue as candidates, or as much of it, drawn uniformly."""
        if self.catalogue <= most:
            return np.arange(self.catalogue), np.zeros(self.catalogue, np.float32)
        items = np.sort(draws.choice(self.catalogue, most, replace=False))
        return items, np.full(most, np.log(most / self.catalogue), np.float32)

    def make(
        self, chosen: NDArray[np.int64], items: NDArray[np.int64], correction: NDArray[np.float32]
    ) -> tuple[Batch, Candidates, torch.Tensor]:
        """A batch of some moments with these candidates, and the rows of vectors that it needs.

        Returns:
            The batch and the candidates, their rows being places in the third: rows of the table
            of texts.
        """
        moments = self.moments
        past, targets = moments.texts[chosen], moments.items[chosen]
        rows, places = np.unique(
            np.concatenate([past.ravel(), targets, items]), return_inverse=True
        )
        size = past.size
        looks, look = np.unique(self._looks[chosen], return_inverse=True)
        popularity = self._popularity[torch.from_numpy(looks)][:, :, torch.from_numpy(items)]
        importance = torch.from_numpy(self._importance[chosen])
        batch = Batch(
            torch.from_numpy(places[size : size + len(targets)]),
            torch.from_numpy(places[:size].reshape(past.shape)),
            torch.from_numpy(self._weights[:, chosen]),
            torch.from_numpy(moments.positive[chosen]),
            torch.from_numpy(moments.ratings[chosen]),
            importance / importance.mean(),
        )
        known = self._known(past, moments.strengths[chosen], targets)[:, items]
        candidates = Candidates(
            torch.from_numpy(places[size + len(targets) :]),
            torch.from_numpy(known),
            torch.from_numpy(correction),
            popularity,
            torch.from_numpy(look),
            self._popularity[
                torch.from_numpy(self._looks[chosen]), :, torch.from_numpy(targets).long()
            ],
        )
        return batch, candidates, torch.from_numpy(rows).long()

    def _known(
        self, past: NDArray[np.int32], strengths: NDArray[np.float32], targets: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """``(b, items)``: the target, and what the profile is made of."""
        found = np.zeros((len(targets), self.catalogue + 1), np.bool_)
        of_items = np.where((strengths != 0) & (past < self.catalogue), past, self.catalogue)
        np.put_along_axis(found, of_items.astype(np.int64), values=True, axis=1)
        found[np.arange(len(targets)), targets] = True
        return found[:, : self.catalogue]
