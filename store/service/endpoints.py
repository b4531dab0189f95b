"""The endpoints: each takes a request apart, asks the view in the owner thread, and answers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from fastapi import Query
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.responses import Response

from store.follower import Follower
from store.question import Question
from store.receipt import ForgetReceipt
from store.service import queries
from store.service.context import current
from store.service.deadline import begin_in_time, in_time
from store.service.errors import ApiError, invalid, without_words
from store.service.models import (
    MAX_K,
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
from store.view import RetrievalView

__all__ = ["Api", "Encode", "Forget"]

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Encode = Callable[[str], Awaitable[NDArray[np.float32]]]
Forget = Callable[[str], Awaitable[ForgetReceipt]]
K = Annotated[int, Query(ge=1, le=MAX_K, description="How many, at most.")]

#: Of a deadline that a client gives a forget, so much is left for the answer.
_ANSWER_SECONDS = 0.1


#: So many candidates take the owner thread about a tenth of a second; more are several jobs, so
#: that other queries and writes come in between.
_MAX_JOB_RESULTS = 25_600


class Api:
    """The endpoints, and what they need."""

    def __init__(
        self,
        *,
        follower: Follower,
        view: RetrievalView,
        owner: Executor,
        encode: Encode,
        forget: Forget,
        registry: CollectorRegistry,
        settings: ServiceSettings,
    ) -> None:
        self._follower = follower
        self._view = view
        self._owner = owner
        self._encode = encode
        self._forget = forget
        self._registry = registry
        self._settings = settings

    async def _ask(
        self, query: Callable[..., Answer | Question[Answer]], *args: Any, **named: Any
    ) -> Answer:
        """Ask the view in the owner thread, unless nobody waits for the answer any more."""
        loop = asyncio.get_running_loop()
        job = begin_in_time(query, self._view, *args, **named)
        # Of a question the owner gives the answer.
        waited: asyncio.Future[Answer] = loop.run_in_executor(self._owner, job)  # type: ignore[arg-type]
        return await in_time(waited)

    async def require_serving(self) -> None:
        """Refuse while the view is not complete."""
        serving = self._follower.serving()
        if not serving.ok:
            raise _not_ready(serving.reason, "ask again, or another replica; GET /readyz says when")

    async def candidates(
        self,
        user_id: str,
        k: K = 10,
        exclude_seen: bool = True,
        category: str | None = None,
        fallback: Literal["popular"] | None = None,
        why: bool = False,
    ) -> Response:
        """Items for a user; with `why`, each with the user's actions behind it."""
        return _answer(
            await self._ask(
                queries.candidates,
                user_id,
                k,
                exclude_seen=exclude_seen,
                category=category or None,
                fall_back=fallback == "popular",
                why=why,
            )
        )

    async def candidates_of(self, asked: CandidatesRequest) -> Response:
        """Items for several users, by one search; an error for one leaves the others theirs."""
        at_once = max(1, _MAX_JOB_RESULTS // asked.k)
        results: list[Candidates | UserError] = []
        for start in range(0, len(asked.user_ids), at_once):
            results += await self._ask(
                queries.candidates_of,
                asked.user_ids[start : start + at_once],
                asked.k,
                exclude_seen=asked.exclude_seen,
                category=asked.category or None,
                fall_back=asked.fallback == "popular",
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
                category=asked.category,
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
        gone = await self._follower.wait_forgotten(
            user_id,
            receipt.topic,
            receipt.partition,
            receipt.offset,
            within=max(0.0, min(wait, context.remaining - _ANSWER_SECONDS)),
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
        return _answer(await self._ask(queries.status, self._follower))

    async def healthz(self) -> Response:
        """503 only where a restart helps; a replica that lost its broker can still be asked."""
        if self._follower.failure is not None:
            raise ApiError(503, "failed", self._follower.failure, "restart the service")
        health = self._follower.health()
        return _answer(Health("ok" if health.ok else "degraded", health.reason))

    async def readyz(self) -> Response:
        """503 until the history is read, and while too far behind."""
        ready = self._follower.ready()
        if not ready.ok:
            raise _not_ready(ready.reason, "wait; GET /v1/status says more")
        # Not in the owner thread: a probe does not queue behind the queries.
        return _answer(Readiness(True, self._follower.lag, self._view.generation, self._view.kinds))

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
        values = asked.vector or []
        if len(values) != self._view.dim:
            raise invalid(f"vector has {len(values)} values; expected {self._view.dim}")
        vector = np.array(values, dtype=np.float64)
        top = float(np.abs(vector).max())
        if top == 0:
            raise invalid("vector is 0: there is no direction to search in")
        vector /= top  # so that the squares stay in range
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    async def _encoded(self, text: str) -> NDArray[np.float32]:
        hint = "ask again, or send a vector"
        try:
            found = await in_time(asyncio.ensure_future(self._encode(text)))
            vector = np.asarray(found, dtype=np.float32)
        except ApiError:
            raise
        except Exception as error:
            logger.error(  # noqa: TRY400 - the traceback would hold the error's words
                "a query could not be encoded: request=%s\n%s", current().id, without_words(error)
            )
            reason = f"the text could not be encoded: {error}"
            raise ApiError(503, "encoder_failed", reason, hint) from error
        if vector.shape != (self._view.dim,) or not np.isfinite(vector).all():
            reason = f"the encoder gave {vector.shape}; expected {self._view.dim} finite values"
            logger.error("%s: request=%s", reason, current().id)
            raise ApiError(503, "encoder_failed", reason, hint)
        return vector


def _answer(value: Any, status: int = 200) -> Response:
    media_type = current().media_type
    return Response(encode(value, media_type), status, media_type=media_type)


def _not_ready(reason: str, hint: str) -> ApiError:
    return ApiError(503, "not_ready", reason, hint, {"Retry-After": "1"})
