"""The endpoints: each takes a request apart, asks the view in the owner thread, and answers."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from fastapi import Query
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.responses import Response

from store.catalogue import Wanted
from store.generations import Generation, Generations
from store.ordering import Rank
from store.query_vectors import ProfileFunction
from store.question import Question
from store.receipt import ForgetReceipt
from store.service import queries
from store.service.context import current
from store.service.deadline import begin_in_time, in_time
from store.service.errors import ApiError, invalid, without_words
from store.service.models import (
    MAX_FIELDS,
    MAX_K,
    MAX_VALUES,
    MAX_WEIGHT,
    POPULARITY,
    PROFILE,
    RANK,
    Candidates,
    CandidatesBatch,
    CandidatesRequest,
    Health,
    ProfilesRequest,
    Readiness,
    Receipt,
    SearchRequest,
    UserError,
)
from store.service.negotiation import encode
from store.service.settings import ServiceSettings

__all__ = ["Api", "Forget", "now_ms"]

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Forget = Callable[[str], Awaitable[ForgetReceipt]]
Where = Annotated[
    tuple[str, ...],
    Query(
        max_length=MAX_FIELDS * MAX_VALUES,
        description="`name:value`: only items with this attribute; of one name, any.",
    ),
]
Popularity = Annotated[float, Query(ge=0, le=MAX_WEIGHT, description=POPULARITY)]
RankBy = Annotated[Rank | None, Query(description=RANK)]
By = Annotated[ProfileFunction, Query(description=PROFILE)]
K = Annotated[int, Query(ge=1, le=MAX_K, description="How many, at most.")]

#: Of a deadline that a client gives a forget, so much is left for the answer.
_ANSWER_SECONDS = 0.1


#: So many candidates take the owner thread about a tenth of a second; more are several jobs, so
#: that other queries and writes come in between.
_MAX_JOB_RESULTS = 25_600
#: Of a user about so many candidates are looked at where more than nearness orders them.
_MAX_ORDERED = 1_000


class Api:
    """The endpoints, and what they need."""

    def __init__(
        self,
        *,
        generations: Generations,
        forget: Forget,
        registry: CollectorRegistry,
        settings: ServiceSettings,
    ) -> None:
        self._generations = generations
        self._forget = forget
        self._registry = registry
        self._settings = settings

    async def _ask(
        self, query: Callable[..., Answer | Question[Answer]], *args: Any, **named: Any
    ) -> Answer:
        """Ask the generation that answers this request."""
        return await _asked_of(_answering(), query, *args, **named)

    async def require_serving(self) -> None:
        """Refuse while the view is not complete."""
        serving = _answering().follower.serving()
        if not serving.ok:
            raise _not_ready(serving.reason, "ask again, or another replica; GET /readyz says when")

    async def candidates(
        self,
        user_id: str,
        k: K = 10,
        exclude_seen: bool = True,
        category: str | None = None,
        where: Where = (),
        popularity: Popularity = 0.0,
        fallback: Literal["popular"] | None = None,
        why: bool = False,
        rank: RankBy = None,
        profile: By = "fold",
    ) -> Response:
        """Items for a user; with `why`, each with the user's actions behind it."""
        _require_fits(profile, rank, popularity, why=why)
        return _answer(
            await self._ask(
                queries.candidates,
                user_id,
                k,
                exclude_seen=exclude_seen,
                wanted=Wanted(category or None, _fields(where), popularity),
                fall_back=fallback == "popular",
                why=why,
                rank=rank,
                now_ms=now_ms(),
                by=profile,
            )
        )

    async def candidates_of(self, asked: CandidatesRequest) -> Response:
        """Items for several users, by one search; an error for one leaves the others theirs."""
        _require_fits(asked.profile, asked.rank, asked.popularity)
        rank = _answering().view.answers.settled_rank(asked.rank, asked.profile, asked.wanted())
        looked_at = asked.k if rank == "nearest" else max(asked.k, _MAX_ORDERED)
        at_once = max(1, _MAX_JOB_RESULTS // looked_at)
        results: list[Candidates | UserError] = []
        for start in range(0, len(asked.user_ids), at_once):
            results += await self._ask(
                queries.candidates_of,
                asked.user_ids[start : start + at_once],
                asked.k,
                exclude_seen=asked.exclude_seen,
                wanted=asked.wanted(),
                fall_back=asked.fallback == "popular",
                rank=rank,
                now_ms=now_ms(),
                by=asked.profile,
            )
        return _answer(CandidatesBatch(results))

    async def why(self, user_id: str, item_id: str) -> Response:
        """Why an item is near to a user: the user's actions, those that count most first."""
        return _answer(await self._ask(queries.why, user_id, item_id))

    async def profile(self, user_id: str, include_vector: bool = False) -> Response:
        """What is known of a user."""
        return _answer(await self._ask(queries.profile, user_id, include_vector=include_vector))

    async def profiles_of(self, asked: ProfilesRequest) -> Response:
        """What is known of several users."""
        return _answer(
            await self._ask(
                queries.profiles_of, asked.user_ids, include_vector=asked.include_vector
            )
        )

    async def neighbours(self, user_id: str, k: K = 10) -> Response:
        """Users like a user."""
        return _answer(await self._ask(queries.neighbours, user_id, k))

    async def audience(self, item_id: str, k: K = 10) -> Response:
        """Users nearest to an item."""
        return _answer(await self._ask(queries.audience, item_id, k))

    async def search(self, asked: SearchRequest) -> Response:
        """Items or profiles nearest to a text, or to a vector of any length but 0."""
        vector = await self._query_vector(asked)
        return _answer(
            await self._ask(
                queries.search,
                vector,
                asked.k,
                wanted=asked.wanted(),
                profiles=asked.within == "profiles",
            )
        )

    async def forget(
        self, user_id: str, wait: Annotated[float, Query(ge=0, le=60)] = 5
    ) -> Response:
        """Forget a user: 200 once gone from this replica, 202 if not within `wait` seconds."""
        limit = self._settings.max_id_chars
        if not 1 <= len(user_id) <= limit or "\ufffd" in user_id:
            raise invalid(f"the id has {len(user_id)} characters; expected 1 to {limit}, in UTF-8")
        context = current()
        if not context.deadline_given:
            context.deadline += wait
        receipt = await self._published(user_id)
        gone = await self._generations.wait_forgotten(
            receipt, max(0.0, min(wait, context.remaining - _ANSWER_SECONDS))
        )
        return _answer(
            Receipt(
                user_id=receipt.user_id,
                topic=receipt.topic,
                partition=receipt.partition,
                offset=receipt.offset,
                requested_at=receipt.requested_at,
                status="forgotten" if gone else "accepted",
            ),
            200 if gone else 202,
        )

    async def status(self) -> Response:
        """The state of this replica."""
        generations = self._generations
        upcoming = None
        if (following := generations.upcoming) is not None:
            upcoming = await _asked_of(
                following,
                queries.upcoming,
                following.follower,
                following.name,
                generations.waiting_for,
            )
        generation = _answering()
        return _answer(
            await self._ask(queries.status, generation.follower, generation.name, upcoming)
        )

    async def healthz(self) -> Response:
        """503 only where a restart helps; a replica that lost its broker can still be asked."""
        follower = _answering().follower
        if follower.failure is not None:
            raise ApiError(503, "failed", follower.failure, "restart the service")
        health = follower.health()
        return _answer(Health("ok" if health.ok else "degraded", health.reason))

    async def readyz(self) -> Response:
        """503 until the history is read, and while too far behind."""
        serving = _answering()
        ready = serving.follower.ready()
        if not ready.ok:
            raise _not_ready(ready.reason, "wait; GET /v1/status says more")
        # Not in the owner thread: a probe does not queue behind the queries.
        lag, kinds = serving.follower.lag, serving.view.kinds
        return _answer(Readiness(True, lag, serving.name, kinds))

    async def metrics(self) -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def _published(self, user_id: str) -> ForgetReceipt:
        try:
            # Not taken back where the deadline passes: what is being sent may have arrived.
            return await in_time(asyncio.ensure_future(self._forget(user_id)), shielded=True)
        except ApiError:
            raise
        except Exception as error:
            logger.error(  # noqa: TRY400 - the traceback would hold the error's words
                "a forget could not be published: request=%s\n%s",
                current().id, without_words(error),
            )  # fmt: skip
            raise ApiError(
                503, "publish_failed", f"the forget was not published: {error}", "ask again"
            ) from error

    async def _query_vector(self, asked: SearchRequest) -> NDArray[np.float32]:
        """The query as a unit vector, ``(dim,) float32``."""
        if asked.text is not None:
            limit = self._settings.max_text_chars
            if len(asked.text) > limit:
                raise invalid(f"text has {len(asked.text)} characters; at most {limit}")
            return await self._encoded(asked.text)
        view = _answering().view
        if asked.encoder_id not in {None, view.encoder_id}:
            raise ApiError(
                409,
                "other_encoder",
                f"the vector is said to be of encoder {asked.encoder_id!r}; what is held is of "
                f"{view.encoder_id!r}",
                "make the vector by that encoder, or send a text",
            )
        values = asked.vector or []
        if len(values) != view.dim:
            raise invalid(f"vector has {len(values)} values; expected {view.dim}")
        vector = np.array(values, dtype=np.float64)
        top = float(np.abs(vector).max())
        if top == 0:
            raise invalid("vector is 0: there is no direction to search in")
        vector /= top  # so that the squares stay in range
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    async def _encoded(self, text: str) -> NDArray[np.float32]:
        hint = "ask again, or send a vector"
        generation = _answering()
        try:
            found = await in_time(asyncio.ensure_future(generation.encode(text)))
            vector = np.asarray(found, dtype=np.float32)
        except ApiError:
            raise
        except Exception as error:
            logger.error(  # noqa: TRY400 - the traceback would hold the error's words
                "a query could not be encoded: request=%s\n%s", current().id, without_words(error)
            )
            reason = f"the text could not be encoded: {error}"
            raise ApiError(503, "encoder_failed", reason, hint) from error
        dim = generation.view.dim
        if vector.shape != (dim,) or not np.isfinite(vector).all():
            reason = f"the encoder gave {vector.shape}; expected {dim} finite values"
            logger.error("%s: request=%s", reason, current().id)
            raise ApiError(503, "encoder_failed", reason, hint)
        return vector


def _require_fits(
    profile: ProfileFunction, rank: Rank | None, popularity: float, *, why: bool = False
) -> None:
    """What is of the fold's vector is not asked of another's, nor a sum of what has none."""
    if popularity and rank not in (None, "nearest"):
        raise invalid(f"popularity is added to a cosine; rank={rank} has its own: leave one out")
    if profile == "fold":
        return
    if why:
        raise invalid("why tells the parts of actions in the fold; ask for it without profile")
    if rank not in (None, "nearest"):
        raise invalid(f"rank={rank} was learned of the fold; ask for it without profile")


def _answering() -> Generation:
    generation = current().generation
    assert generation is not None  # noqa: S101 # the guard holds it
    return generation


async def _asked_of(
    generation: Generation,
    query: Callable[..., Answer | Question[Answer]],
    *args: Any,
    **named: Any,
) -> Answer:
    """Ask the view in the owner thread, unless nobody waits for the answer any more."""
    job = begin_in_time(query, generation.view, *args, **named)
    loop = asyncio.get_running_loop()
    # Of a question the owner gives the answer.
    waited: asyncio.Future[Answer] = loop.run_in_executor(generation.owner, job)  # type: ignore[arg-type]
    return await in_time(waited)


def _fields(where: Sequence[str]) -> dict[str, list[str]]:
    """Values by attribute, of ``name:value`` each."""
    fields: dict[str, list[str]] = {}
    for one in where:
        name, colon, value = one.partition(":")
        if not colon:
            raise invalid("where is expected as name:value, with a colon")
        fields.setdefault(name, []).append(value)
    if len(fields) > MAX_FIELDS:
        raise invalid(f"where names {len(fields)} attributes; at most {MAX_FIELDS}")
    return fields


def _answer(value: Any, status: int = 200) -> Response:
    media_type = current().media_type
    return Response(encode(value, media_type), status, media_type=media_type)


def _not_ready(reason: str, hint: str) -> ApiError:
    return ApiError(503, "not_ready", reason, hint, {"Retry-After": "1"})


def now_ms() -> int:
    """Wall clock, ms since the epoch."""
    return time.time_ns() // 1_000_000
