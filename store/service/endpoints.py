"""The endpoints: each takes a request apart, asks the view in the owner thread, and answers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from fastapi import Query, Response
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from store import queries
from store.follower import Follower
from store.receipt import ForgetReceipt
from store.responses import (
    Audience,
    Candidates,
    Health,
    Neighbours,
    Profile,
    Readiness,
    Receipt,
    SearchRequest,
    SearchResult,
    Status,
)
from store.service.errors import ApiError, invalid
from store.service.settings import ServiceSettings
from store.view import RetrievalView

__all__ = ["Api", "Encode", "Forget"]

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Encode = Callable[[str], Awaitable[NDArray[np.float32]]]
Forget = Callable[[str], Awaitable[ForgetReceipt]]
K = Annotated[int, Query(ge=1, le=1000, description="How many, at most.")]


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

    async def _ask(self, query: Callable[..., Answer], *args: Any, **named: Any) -> Answer:
        """Run a query on the view in the owner thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._owner, partial(query, self._view, *args, **named))

    async def require_serving(self) -> None:
        serving = self._follower.serving()
        if not serving.ok:
            raise ApiError(
                503,
                "not_ready",
                serving.reason,
                "ask again, or another replica; GET /readyz says when",
                {"Retry-After": "1"},
            )

    async def candidates(
        self,
        user_id: str,
        k: K = 10,
        exclude_seen: bool = True,
        category: str | None = None,
        fallback: Literal["popular"] | None = None,
    ) -> Candidates:
        """Items for a user."""
        return await self._ask(
            queries.candidates,
            user_id,
            k,
            exclude_seen=exclude_seen,
            category=category or None,
            fall_back=fallback == "popular",
        )

    async def profile(self, user_id: str, include_vector: bool = False) -> Profile:
        """What is known of a user."""
        return await self._ask(queries.profile, user_id, include_vector=include_vector)

    async def neighbours(self, user_id: str, k: K = 10) -> Neighbours:
        """Users like a user."""
        return await self._ask(queries.neighbours, user_id, k)

    async def audience(self, item_id: str, k: K = 10) -> Audience:
        """Users nearest to an item."""
        return await self._ask(queries.audience, item_id, k)

    async def search(self, request: SearchRequest) -> SearchResult:
        """Items or profiles nearest to a text, or to a vector of any length but 0."""
        vector = await self._query_vector(request)
        return await self._ask(
            queries.search,
            vector,
            request.k,
            category=request.category,
            profiles=request.within == "profiles",
        )

    async def forget(
        self, user_id: str, response: Response, wait: Annotated[float, Query(ge=0, le=60)] = 5
    ) -> Receipt:
        """Forget a user: 200 once gone from this replica, 202 if not within `wait` seconds."""
        limit = self._settings.max_id_chars
        if not 1 <= len(user_id) <= limit or "\ufffd" in user_id:
            raise invalid(f"the id has {len(user_id)} characters; expected 1 to {limit}, in UTF-8")
        try:
            receipt = await self._forget(user_id)
        except Exception as error:
            logger.exception("a forget could not be published")
            raise ApiError(
                503, "publish_failed", f"the forget was not published: {error}", "ask again"
            ) from error
        gone = await self._follower.wait_forgotten(
            user_id, receipt.topic, receipt.partition, receipt.offset, within=wait
        )
        response.status_code = 200 if gone else 202
        return Receipt(
            user_id=receipt.user_id,
            topic=receipt.topic,
            partition=receipt.partition,
            offset=receipt.offset,
            requested_at=receipt.requested_at,
            status="forgotten" if gone else "accepted",
        )

    async def status(self) -> Status:
        """The state of this replica."""
        return await self._ask(queries.status, self._follower)

    async def healthz(self) -> Health:
        """503 only where a restart helps; a replica that lost its broker can still be asked."""
        if self._follower.failure is not None:
            raise ApiError(503, "failed", self._follower.failure, "restart the service")
        health = self._follower.health()
        return Health(status="ok" if health.ok else "degraded", reason=health.reason)

    async def readyz(self) -> Readiness:
        """503 until the history is read, and while too far behind."""
        ready = self._follower.ready()
        if not ready.ok:
            raise ApiError(
                503,
                "not_ready",
                ready.reason,
                "wait; GET /v1/status says more",
                {"Retry-After": "1"},
            )
        return Readiness(ready=True)

    async def metrics(self) -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def _query_vector(self, request: SearchRequest) -> NDArray[np.float32]:
        """The query as a unit vector, ``(dim,) float32``."""
        if request.text is not None:
            limit = self._settings.max_text_chars
            if len(request.text) > limit:
                raise invalid(f"text has {len(request.text)} characters; at most {limit}")
            return await self._encoded(request.text)
        values = request.vector or []
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
            vector = np.asarray(await self._encode(text), dtype=np.float32)
        except Exception as error:
            logger.exception("a query could not be encoded")
            reason = f"the text could not be encoded: {error}"
            raise ApiError(503, "encoder_failed", reason, hint) from error
        if vector.shape != (self._view.dim,) or not np.isfinite(vector).all():
            reason = f"the encoder gave {vector.shape}; expected {self._view.dim} finite values"
            logger.error(reason)
            raise ApiError(503, "encoder_failed", reason, hint)
        return vector
