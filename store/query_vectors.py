"""The vectors that candidates are searched by: of the fold, or of a trained profile function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from store.errors import NoSequenceError, UnknownUserError
from store.sequence import UserSequence, sequence_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from store.sequence import SequenceProfile
    from store.user_profile import UserProfile

__all__ = ["Held", "ProfileFunction", "query_vectors"]

Made = TypeVar("Made")
#: What makes a user's query vector: the profile that the worker folds, or the trained function of
#: the latest actions that it keeps.
ProfileFunction = Literal["fold", "sequence"]


class Held(Protocol):
    """What vectors are made of, as `RetrievalView` holds it."""

    sequence: SequenceProfile | None

    def direction(self, user_id: str) -> NDArray[np.float32]:
        """The user's p at length 1. Raises `UnknownUserError`."""
        ...

    def profile(self, user_id: str) -> UserProfile:
        """What is held of a user beside it. Raises `UnknownUserError`."""
        ...

    def item_vectors(self, item_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Unit vectors of those of the items that are held."""
        ...


def query_vectors(
    held: Held, user_ids: Sequence[str], by: ProfileFunction
) -> list[NDArray[np.float32] | UnknownUserError]:
    """Users' unit vectors by the function, ``(dim,) float32``, or why there is none.

    Raises:
        NoSequenceError: the sequence model is asked for, and there is none.
    """
    if by == "fold":
        return [_or_error(held.direction, user_id) for user_id in user_ids]
    model = held.sequence
    if model is None:
        raise NoSequenceError(
            "there is no sequence model here; name one in the setting retrieval.sequence, made "
            "by: tidemark train sequence"
        )

    def latest(user_id: str) -> UserSequence:
        return _latest(held, user_id, model.length)

    found = [_or_error(latest, user_id) for user_id in user_ids]
    known = [one for one in found if isinstance(one, UserSequence)]
    made = iter(model.queries(known) if known else ())
    return [next(made) if isinstance(one, UserSequence) else one for one in found]


def _latest(held: Held, user_id: str, length: int) -> UserSequence:
    """The user's latest actions. Raises `UnknownUserError` where no item of theirs is held."""
    contributions = held.profile(user_id).contributions[-length:]
    wanted = dict.fromkeys(one.item_id for one in contributions if one.item_id is not None)
    found = sequence_of(contributions, held.item_vectors([*wanted]))
    if found is None:
        raise UnknownUserError(
            f"user {user_id!r} has no latest action on an item that is held: the sequence "
            "model has nothing to make a vector of"
        )
    return found


def _or_error(make: Callable[[str], Made], user_id: str) -> Made | UnknownUserError:
    try:
        return make(user_id)
    except UnknownUserError as error:
        return error
