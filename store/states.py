"""Between the records of ``profiles`` as objects and a table's columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.image import Image, ends_of
from store.profile import Contribution, ProfileState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from store.interner import Interner
    from store.profile import Fence

__all__ = ["Codes", "contributions_of", "image_of", "strings_of"]


class Codes(dict[str | None, int]):
    """Codes of strings, which become known by being asked for; -1 for None."""

    def __init__(self, interner: Interner) -> None:
        super().__init__({None: -1})
        self._interner = interner

    def __missing__(self, key: str | None) -> int:
        code = -1 if key is None else self._interner.code(key.encode())
        self[key] = code
        return code


def image_of(
    found: Sequence[ProfileState | Fence], dim: int, actions: Codes, items: Codes
) -> tuple[Image, list[str]]:
    """States, all of this dim, and fences in columns; and the source topics of their offsets."""
    states = [one for one in found if isinstance(one, ProfileState)]
    profile = np.full(len(found), -1, np.int64)
    profile[[i for i, one in enumerate(found) if isinstance(one, ProfileState)]] = range(
        len(states)
    )
    topics = {topic: at for at, topic in enumerate({t: None for one in found for t in one.applied})}
    next_offset = np.zeros((len(found), len(topics)), np.int64)
    for i, one in enumerate(found):
        for topic, offset in one.applied.items():
            next_offset[i, topics[topic]] = offset + 1
    contributions = [one for state in states for one in state.contributions]
    image = Image(
        next_offset=next_offset,
        forgotten_ts=np.array([one.forgotten_ts for one in found], np.int64),
        profile=profile,
        vector=np.array(
            np.frombuffer(b"".join([state.vector for state in states]), "<f4"), np.float32
        ).reshape(len(states), dim),
        counts=np.array([state.count for state in states], np.int64),
        mass=np.array([state.mass for state in states], np.float64),
        sum_k=np.array([state.sum_k for state in states], np.float64),
        sum_k2=np.array([state.sum_k2 for state in states], np.float64),
        last_ts=np.array([state.last_ts for state in states], np.int64),
        paced=np.array([state.paced for state in states], np.float64),
        cos_mean=np.array([state.cos_mean for state in states], np.float64),
        cos_var=np.array([state.cos_var for state in states], np.float64),
        fresh_from=np.array([state.fresh_from for state in states], np.int64),
        contribution_ends=ends_of([len(state.contributions) for state in states]),
        actions=np.array([actions[one.action] for one in contributions], np.int32),
        items=np.array([items[one.item_id] for one in contributions], np.int32),
        ks=np.array([one.k for one in contributions], np.float32),
        strengths=np.array([one.strength for one in contributions], np.float32),
        seen_ends=ends_of([len(state.seen) for state in states]),
        seen=np.array([items[one] for state in states for one in state.seen], np.int32),
        event_ends=ends_of([len(state.event_ids) for state in states]),
        events=np.array([one for state in states for one in state.event_ids], np.uint64),
    )
    return image, list(topics)


def strings_of(interner: Interner, codes: NDArray[np.int32]) -> list[str]:
    """What the codes stand for."""
    return [interner.key(code).decode() for code in codes.tolist()]


def contributions_of(image: Image, actions: Interner, items: Interner) -> list[Contribution]:
    """All contributions of an image, oldest first."""
    names = strings_of(actions, image.actions)
    ids = [None if item < 0 else items.key(item).decode() for item in image.items.tolist()]
    return [
        Contribution(name, item_id, k, strength)
        for name, item_id, k, strength in zip(
            names, ids, image.ks.tolist(), image.strengths.tolist(), strict=True
        )
    ]
