"""What is evaluated: anything that learns from a log in its order and scores a user's items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Recommender"]


class Recommender(Protocol):
    """Built on an `ActionLog`, of which it knows at first nothing but the catalogue.

    Attributes:
        name: in reports; short.
    """

    name: str

    def learn(self, begin: int, end: int) -> None:
        """Take in the actions at the places ``begin`` to ``end − 1``: always those that come next.

        Nothing at or behind ``end`` may be looked at: that is what makes it prequential.
        """

    def scores(self, place: int) -> NDArray[np.float32]:
        """``(items of the catalogue,) float32``: the higher, the sooner it is shown.

        −inf is not shown at all. For the user and at the time of the action at this place, whose
        item and kind are not looked at. All actions before it are learned.
        """
