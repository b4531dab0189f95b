"""What the pages of users, items and the map ask; every function here runs in the owner thread."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from store.dashboard.past import steps_of
from store.errors import UnknownItemError, UnknownUserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from store.question import Question
    from store.view import RetrievalView

__all__ = ["Found", "find_users", "item", "item_points", "listed", "user", "user_points"]

#: Ids looked at in a search: some milliseconds of the owner thread.
MOST_LOOKED_AT = 50_000
#: And found.
MOST_FOUND = 20


@dataclass(slots=True)
class Found:
    """Users whose ids hold what was asked for; who has exactly that id comes first.

    ``looked_at`` of ``users`` were compared, those that came last; an exact id is always found.
    """

    found: list[str]
    looked_at: int
    users: int


@dataclass(slots=True)
class Points:
    """Some items or users: unit vectors ``(n, dim) float32``, and columns of n by name."""

    ids: list[str]
    vectors: NDArray[np.float32]
    columns: dict[str, list[Any]] = field(default_factory=dict)


def find_users(view: RetrievalView, wanted: str) -> Found:
    """Users by a part of their id; without one, those that came last."""
    total = view.profile_count
    exact = [wanted] if wanted and view.holds_user(wanted) else []
    looked_at, others = 0, []
    lower = wanted.casefold()
    for user_id in islice(view.user_ids(), MOST_LOOKED_AT):
        looked_at += 1
        if lower in user_id.casefold() and user_id != wanted:
            others.append(user_id)
            if len(others) + len(exact) == MOST_FOUND:
                break
    return Found(exact + others, looked_at, total)


def user(view: RetrievalView, user_id: str) -> dict[str, Any]:
    """A user's profile, its latest actions and what it was after each.

    Raises:
        UnknownUserError: there is none.
    """
    held, vector = view.profile(user_id), view.vector(user_id)
    steps = []
    for one in steps_of(vector, held.contributions, view.item_vector):
        known = None if one.item_id is None else view.item(one.item_id)
        title, categories = (None, ()) if known is None else (known.title, known.categories)
        steps.append({**asdict(one), "title": title, "categories": categories})
    return {
        "user_id": user_id,
        "encoder_id": view.encoder_id,
        "count": held.count,
        "last_action_at": held.last_ts,
        "version": held.version,
        "partition": held.partition,
        "norm": held.norm,
        # so that the page can tell by how much it turns while it is watched
        "direction": [round(one, 4) for one in (vector / (held.norm or 1.0)).tolist()],
        "steps": steps,
        "seen": [
            {"item_id": one, "title": None if (known := view.item(one)) is None else known.title}
            for one in held.seen
        ],
    }


def item(view: RetrievalView, item_id: str, k: int) -> Question[dict[str, Any]]:
    """An item, items like it, users near it. Raises `UnknownItemError`."""
    held, vector = view.item(item_id), view.item_vector(item_id)
    if held is None or vector is None:
        raise UnknownItemError(f"item {item_id!r} is not in the catalogue")
    like = yield from view.answers.ask_items(vector, k + 1)
    audience = yield from view.answers.ask_audience(item_id, k)
    return {
        "item_id": item_id,
        "title": held.title,
        "categories": held.categories,
        "attributes": dict(held.attributes),
        "seen_by": view.popularity.count(item_id),
        "like": [one for one in like if one.item_id != item_id][:k],
        "audience": audience,
    }


def listed(view: RetrievalView, most: int) -> tuple[list[str], list[str]]:
    """Ids of users and of items, at most so many of each: of more, those that came last."""
    return list(islice(view.user_ids(), most)), list(islice(view.item_ids(), most))


def user_points(view: RetrievalView, ids: Sequence[str]) -> Points:
    """Those of the users that have a direction."""
    vectors = view.directions(ids)
    found: list[str] = []
    counts: list[int] = []
    for user_id in vectors:
        try:
            counts.append(view.profile(user_id).count)
        except UnknownUserError:
            continue
        found.append(user_id)
    rows = np.array([vectors[one] for one in found], np.float32).reshape(len(found), view.dim)
    return Points(found, rows, {"count": counts})


def item_points(view: RetrievalView, ids: Sequence[str]) -> Points:
    """Those of the items that are held."""
    vectors = view.item_vectors(ids)
    held = {item_id: known for item_id in vectors if (known := view.item(item_id)) is not None}
    rows = np.array([vectors[one] for one in held], np.float32).reshape(len(held), view.dim)
    return Points(
        list(held),
        rows,
        {
            "title": [one.title for one in held.values()],
            "category": [one.categories[0] if one.categories else "" for one in held.values()],
        },
    )
