"""Answers put together from the view; every function here runs in the owner thread.

Those that search are questions, so that several are answered by one search (`store.owner`).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import numpy as np

from store.errors import UnknownItemError, UnknownUserError
from store.profile import contribution_weights
from store.ranking.image import VERSION
from store.service.errors import unknown
from store.service.models import (
    Audience,
    Candidates,
    ContributionPart,
    ExplainedItem,
    FreshnessSummary,
    LearnedRanking,
    Neighbours,
    Profile,
    ProfilesBatch,
    Reason,
    RecordCounts,
    SearchResult,
    SeenItem,
    Status,
    Upcoming,
    UserError,
    Why,
)
from store.why import parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from store.answers import Candidate
    from store.catalogue import Wanted
    from store.follower import Follower
    from store.ordering import Rank
    from store.query_vectors import ProfileFunction
    from store.question import Question
    from store.ranking.learner import Learner
    from store.view import RetrievalView

__all__ = [
    "audience", "candidates", "candidates_of", "neighbours", "profile", "profiles_of", "search",
    "status", "upcoming", "why",
]  # fmt: skip

#: What `Candidates.source` says of each profile function.
_SOURCES: Mapping[ProfileFunction, Literal["profile", "sequence"]] = {
    "fold": "profile",
    "sequence": "sequence",
}


def candidates(
    view: RetrievalView,
    user_id: str,
    k: int,
    *,
    exclude_seen: bool,
    wanted: Wanted,
    fall_back: bool,
    why: bool,
    rank: Rank | None = None,
    now_ms: int,
    by: ProfileFunction = "fold",
) -> Question[Candidates]:
    """The user's candidates, or with ``fall_back`` what is popular where there is no profile.

    Raises:
        UnknownUserError: no profile, and no fall back.
        UnknownCategoryError: no item is of this category.
        NoRankerError: what is to rank them is not there.
        NoSequenceError: it is asked for, and there is none.
    """
    settled = view.answers.settled_rank(rank, by, wanted)
    try:
        found = yield from view.answers.ask_candidates(
            user_id, k, exclude_seen=exclude_seen, wanted=wanted, rank=settled, now_ms=now_ms, by=by
        )
    except UnknownUserError:
        if not fall_back:
            raise
        return _popular(view, user_id, k, wanted, exclude_seen=exclude_seen)
    items = _explained(view, user_id, found, settled, now_ms) if why else found
    return Candidates(user_id, _SOURCES[by], settled, [*items])


def candidates_of(
    view: RetrievalView,
    user_ids: Sequence[str],
    k: int,
    *,
    exclude_seen: bool,
    wanted: Wanted,
    fall_back: bool,
    rank: Rank | None = None,
    now_ms: int,
    by: ProfileFunction = "fold",
) -> list[Candidates | UserError]:
    """For each user what `candidates` answers, or what is wrong.

    Raises:
        UnknownCategoryError: no item is of this category.
        NoRankerError: what is to rank them is not there.
        NoSequenceError: it is asked for, and there is none.
    """
    settled = view.answers.settled_rank(rank, by, wanted)
    found = view.answers.candidates_of(
        user_ids, k, exclude_seen=exclude_seen, wanted=wanted, rank=settled, now_ms=now_ms, by=by
    )
    results: list[Candidates | UserError] = []
    for user_id, one in zip(user_ids, found, strict=True):
        if isinstance(one, list):
            results.append(Candidates(user_id, _SOURCES[by], settled, [*one]))
        elif fall_back:
            results.append(_popular(view, user_id, k, wanted, exclude_seen=exclude_seen))
        else:
            results.append(UserError(user_id, unknown(one)))
    return results


def why(view: RetrievalView, user_id: str, item_id: str) -> Why:
    """Why the item is near to the user.

    Raises:
        UnknownUserError: no profile, or one of norm 0.
        UnknownItemError: no such item.
    """
    direction = view.direction(user_id)
    vector, item = view.item_vector(item_id), view.item(item_id)
    if vector is None or item is None:
        raise UnknownItemError(f"item {item_id!r} is not in the catalogue")
    because = _reasons(view, user_id, vector[np.newaxis])[0]
    return Why(user_id, item_id, item.title, float(direction @ vector), because)


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


def profiles_of(
    view: RetrievalView, user_ids: Sequence[str], *, include_vector: bool
) -> ProfilesBatch:
    """For each user what `profile` answers, or what is wrong."""
    results: list[Profile | UserError] = []
    for user_id in user_ids:
        try:
            results.append(profile(view, user_id, include_vector=include_vector))
        except UnknownUserError as error:
            results.append(UserError(user_id, unknown(error)))
    return ProfilesBatch(results)


def neighbours(view: RetrievalView, user_id: str, k: int) -> Question[Neighbours]:
    """Users like the user. Raises `UnknownUserError`."""
    return Neighbours(
        user_id=user_id, neighbours=(yield from view.answers.ask_neighbours(user_id, k))
    )


def audience(view: RetrievalView, item_id: str, k: int) -> Question[Audience]:
    """Users nearest to the item. Raises `UnknownItemError`."""
    return Audience(item_id=item_id, audience=(yield from view.answers.ask_audience(item_id, k)))


def search(
    view: RetrievalView,
    vector: NDArray[np.float32],
    k: int,
    *,
    wanted: Wanted,
    profiles: bool,
) -> Question[SearchResult]:
    """What is nearest to a unit vector. Raises `UnknownCategoryError`."""
    if profiles:
        return SearchResult(profiles=(yield from view.answers.ask_profiles(vector, k)))
    return SearchResult(items=(yield from view.answers.ask_items(vector, k, wanted=wanted)))


def status(
    view: RetrievalView, follower: Follower, generation: str, upcoming: Upcoming | None
) -> Status:
    """The state of this replica."""
    ready, health = follower.ready(), follower.health()
    positions: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in sorted(follower.positions.items()):
        positions.setdefault(topic, {})[str(partition)] = offset
    return Status(
        ready=ready.ok,
        reason=ready.reason,
        healthy=health.ok,
        health_reason=health.reason,
        lag=follower.lag,
        profiles=view.profile_count,
        items=view.item_count,
        encoder_id=view.encoder_id,
        sequence=None if view.sequence is None else view.sequence.model_id,
        ranker=None if view.ranker is None else view.ranker.version,
        mean_removal=view.mean_removal,
        whitening=view.whitening,
        generation=generation,
        indexes=view.kinds,
        recall=view.recall,
        positions=positions,
        # in MessagePack too a map's keys are strings
        applied={
            topic: {str(partition): offset for partition, offset in offsets.items()}
            for topic, offsets in view.applied.items()
        },
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
        ranking=None if view.learner is None else _ranking(view.learner),
        upcoming=upcoming,
    )


def _ranking(learner: Learner) -> LearnedRanking:
    return LearnedRanking(
        version=VERSION,
        counted=learner.counted,
        learned=learner.learned,
        steps=int(learner.blend.steps[0]),
        weights=learner.weights(),
        text_maps=learner.text_maps(),
    )


def upcoming(
    view: RetrievalView, follower: Follower, generation: str, waiting_for: str
) -> Upcoming:
    """The state of the next generation."""
    return Upcoming(
        generation, view.encoder_id, waiting_for, follower.lag, view.profile_count, view.item_count
    )


def _popular(
    view: RetrievalView, user_id: str, k: int, wanted: Wanted, *, exclude_seen: bool
) -> Candidates:
    """What is popular, without what a user has seen whose profile has no direction."""
    seen: Sequence[str] = ()
    if exclude_seen:
        with suppress(UnknownUserError):
            seen = view.profile(user_id).seen
    return Candidates(
        user_id, "popular", None, [*view.answers.popular(k, wanted=wanted, exclude=seen)]
    )


def _explained(
    view: RetrievalView, user_id: str, found: Sequence[Candidate], rank: Rank, now_ms: int
) -> list[ExplainedItem]:
    vectors = [view.item_vector(one.item_id) for one in found]
    matrix = np.array(vectors, np.float32).reshape(len(found), view.dim)
    reasons = _reasons(view, user_id, matrix)
    parts: Sequence[dict[str, float] | None] = [None] * len(found)
    if rank == "blend":
        parts = view.answers.score_parts(user_id, [one.item_id for one in found], now_ms)
    return [
        ExplainedItem(one.item_id, one.score, one.title, one.categories, because, made_of)
        for one, because, made_of in zip(found, reasons, parts, strict=True)
    ]


def _reasons(view: RetrievalView, user_id: str, items: NDArray[np.float32]) -> list[list[Reason]]:
    contributions = view.profile(user_id).contributions
    return [
        [
            Reason(
                action=part.contribution.action,
                item_id=part.contribution.item_id,
                title=_title(view, part.contribution.item_id),
                weight=part.weight,
                cosine=part.cosine,
                part=part.part,
                share=part.share,
            )
            for part in parts
        ]
        for parts in parts_of(contributions, view.item_vector, items)
    ]


def _title(view: RetrievalView, item_id: str | None) -> str | None:
    item = None if item_id is None else view.item(item_id)
    return None if item is None else item.title
