"""Answers put together from the view; every function here runs in the owner thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.errors import UnknownUserError
from store.profile import contribution_weights
from store.responses import (
    Audience,
    CandidateItem,
    Candidates,
    ContributionPart,
    FoundUser,
    FreshnessSummary,
    Neighbours,
    Profile,
    RecordCounts,
    SearchResult,
    SeenItem,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from store.follower import Follower
    from store.view import Candidate, RetrievalView, ScoredUser

__all__ = ["audience", "candidates", "neighbours", "profile", "search", "status"]


def candidates(
    view: RetrievalView,
    user_id: str,
    k: int,
    *,
    exclude_seen: bool,
    category: str | None,
    fall_back: bool,
) -> Candidates:
    """The user's candidates, or with ``fall_back`` what is popular where there is no profile.

    Raises:
        UnknownUserError: no profile, and no fall back.
        UnknownCategoryError: no item is of this category.
    """
    try:
        found = view.candidates(user_id, k, exclude_seen=exclude_seen, category=category)
    except UnknownUserError:
        if not fall_back:
            raise
        popular = _items(view.popular(k, category=category))
        return Candidates(user_id=user_id, source="popular", candidates=popular)
    return Candidates(user_id=user_id, source="profile", candidates=_items(found))


def profile(view: RetrievalView, user_id: str, *, include_vector: bool) -> Profile:
    """All that is known of a user. Raises `UnknownUserError`."""
    held = view.profile(user_id)
    parts = held.contributions
    return Profile(
        user_id=user_id,
        encoder_id=view.encoder_id,
        count=held.count,
        last_action_at=held.last_ts,
        norm=held.norm,
        seen=[SeenItem(item_id=one, title=_title(view, one)) for one in held.seen],
        contributions=[
            ContributionPart(
                action=part.action,
                item_id=part.item_id,
                title=_title(view, part.item_id),
                weight=weight,
            )
            for part, weight in zip(parts, contribution_weights(parts), strict=True)
        ],
        vector=view.vector(user_id).tolist() if include_vector else None,
    )


def neighbours(view: RetrievalView, user_id: str, k: int) -> Neighbours:
    """Users like the user. Raises `UnknownUserError`."""
    return Neighbours(user_id=user_id, neighbours=_users(view.neighbours(user_id, k)))


def audience(view: RetrievalView, item_id: str, k: int) -> Audience:
    """Users nearest to the item. Raises `UnknownItemError`."""
    return Audience(item_id=item_id, audience=_users(view.audience(item_id, k)))


def search(
    view: RetrievalView,
    vector: NDArray[np.float32],
    k: int,
    *,
    category: str | None,
    profiles: bool,
) -> SearchResult:
    """What is nearest to a unit vector. Raises `UnknownCategoryError`."""
    if profiles:
        return SearchResult(profiles=_users(view.search_profiles(vector, k)))
    return SearchResult(items=_items(view.search_items(vector, k, category=category)))


def status(view: RetrievalView, follower: Follower) -> Status:
    """The state of this replica."""
    ready, health = follower.ready(), follower.health()
    return Status(
        ready=ready.ok,
        reason=ready.reason,
        healthy=health.ok,
        health_reason=health.reason,
        lag=follower.lag,
        profiles=view.profile_count,
        items=view.item_count,
        encoder_id=view.encoder_id,
        applied=view.applied,
        freshness=FreshnessSummary(
            count=view.freshness.count,
            p50_seconds=view.freshness.quantile(0.5),
            p99_seconds=view.freshness.quantile(0.99),
        ),
        records=RecordCounts(
            stale=view.records.stale,
            corrupt=view.records.corrupt,
            foreign=view.records.foreign,
        ),
    )


def _items(found: Iterable[Candidate]) -> list[CandidateItem]:
    return [CandidateItem(**one._asdict()) for one in found]


def _users(found: Iterable[ScoredUser]) -> list[FoundUser]:
    return [FoundUser(**one._asdict()) for one in found]


def _title(view: RetrievalView, item_id: str | None) -> str | None:
    item = None if item_id is None else view.item(item_id)
    return None if item is None else item.title
