"""What an encoder is trained on: actions in columns, and the texts they name; without torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoders.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["POSITIVE", "Actions"]

#: From this strength on an action says that the user liked the item.
POSITIVE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """Actions in time order.

    Attributes:
        users: ``(n,) int32`` codes from 0.
        items: ``(n,) int32`` places in the catalogue; −1 where an action names none.
        texts: ``(n,) int32`` rows of the table of texts, of which the catalogue's come first, in
            its order; −1 where an action has none.
        ts: ``(n,) int64`` ms, ascending.
        strengths: ``(n,) float32``: s in [−1, 1].
        ratings: ``(n,) float32`` from 0, the lowest, to 1; NaN where there is none.
        catalogue: how many items there are.

    Raises:
        TrainingError: there are no actions.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    texts: NDArray[np.int32]
    ts: NDArray[np.int64]
    strengths: NDArray[np.float32]
    ratings: NDArray[np.float32]
    catalogue: int

    def __post_init__(self) -> None:
        if not len(self.users):
            raise TrainingError("there are no actions to learn from")

    def __len__(self) -> int:
        return len(self.users)

    def fingerprint(self, texts: Sequence[str]) -> str:
        """12 hex digits over all of them, and the texts that they name."""
        digest = hashlib.sha256()
        for one in (self.users, self.items, self.texts, self.ts, self.strengths, self.ratings):
            digest.update(np.ascontiguousarray(one).tobytes())
        digest.update("\0".join(texts).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:12]

    def first(self, count: int) -> Actions:
        """Those before place ``count`` alone."""
        return Actions(
            users=self.users[:count],
            items=self.items[:count],
            texts=self.texts[:count],
            ts=self.ts[:count],
            strengths=self.strengths[:count],
            ratings=self.ratings[:count],
            catalogue=self.catalogue,
        )

    def places_of(self, low: float, high: float) -> tuple[int, int]:
        """Where shares of the actions begin and end."""
        return int(np.ceil(low * len(self))), int(np.ceil(high * len(self)))
