"""Retrieval over HTTP; the one module of the store that imports FastAPI.

Ids in paths are percent-encoded UTF-8 (``a/b`` as ``a%2Fb``, ``..`` as ``%2E%2E``). They may hold
slashes; an id of dots alone must come encoded, and through clients that leave it so.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException

from store import queries
from store.asgi import RequestGuard, error_body
from store.errors import UnknownCategoryError, UnknownError, UnknownItemError, UnknownUserError
from store.follower import Follower
from store.receipt import ForgetReceipt
from store.responses import (
    Audience,
    Candidates,
    ErrorResponse,
    Health,
    Neighbours,
    Profile,
    Readiness,
    Receipt,
    SearchRequest,
    SearchResult,
    Status,
)
from store.sensor import NullSensor, Sensor
from store.view import RetrievalView

__all__ = ["ServiceSettings", "create_app"]

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Encode = Callable[[str], Awaitable[NDArray[np.float32]]]
Forget = Callable[[str], Awaitable[ForgetReceipt]]
K = Annotated[int, Query(ge=1, le=1000, description="How many, at most.")]

_UNKNOWN: dict[type[UnknownError], tuple[str, str]] = {
    UnknownUserError: (
        "unknown_user",
        "ask for candidates with fallback=popular, or publish an action of the user first",
    ),
    UnknownItemError: ("unknown_item", "publish the item to the items topic first"),
    UnknownCategoryError: ("unknown_category", "categories are matched exactly; check the items"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Limits: a request over one is refused, not cut."""

    max_body_bytes: int = 1024 * 1024
    max_text_chars: int = 8_000
    max_id_chars: int = 256


class _IdConvertor(PathConvertor):
    """An id in a path: any characters, line ends too."""

    regex = "(?s:.*)"


register_url_convertor("id", _IdConvertor())


class ApiError(Exception):
    """An answer in the one shape of errors."""

    def __init__(
        self, status: int, code: str, reason: str, hint: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.body = error_body(code, reason, hint)
        self.headers = headers


class _Api:
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
            raise _invalid(f"the id has {len(user_id)} characters; expected 1 to {limit}, in UTF-8")
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
                raise _invalid(f"text has {len(request.text)} characters; at most {limit}")
            return await self._encoded(request.text)
        values = request.vector or []
        if len(values) != self._view.dim:
            raise _invalid(f"vector has {len(values)} values; expected {self._view.dim}")
        vector = np.array(values, dtype=np.float64)
        top = float(np.abs(vector).max())
        if top == 0:
            raise _invalid("vector is 0: there is no direction to search in")
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


def create_app(
    *,
    follower: Follower,
    view: RetrievalView,
    owner: Executor,
    encode: Encode,
    forget: Forget,
    registry: CollectorRegistry,
    sensor: Sensor | None = None,
    settings: ServiceSettings | None = None,
) -> FastAPI:
    """The service. Its lifespan starts and stops the follower; the owner is the caller's to stop.

    Args:
        follower: keeps the view up to date.
        view: what is asked.
        owner: the executor of one thread that the follower applies in.
        encode: a text's unit vector, ``(dim,) float32``.
        forget: publishes a ``forget`` of a user and waits until the broker has it.
        registry: served at /metrics.
        sensor: told of every request; usually a `PrometheusSensor` on the same registry.
        settings: limits.
    """
    settings = settings or ServiceSettings()
    api = _Api(
        follower=follower,
        view=view,
        owner=owner,
        encode=encode,
        forget=forget,
        registry=registry,
        settings=settings,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await follower.start()
        try:
            yield
        finally:
            await follower.stop()

    # The pages at /docs and /redoc without what FastAPI's own would load from elsewhere.
    app: FastAPI = FastAPIOffline(
        title="Tidemark retrieval",
        lifespan=lifespan,
        redirect_slashes=False,
        responses={code: {"model": ErrorResponse} for code in (404, 422, 503)},
    )
    app.add_middleware(
        RequestGuard, max_body_bytes=settings.max_body_bytes, sensor=sensor or NullSensor()
    )
    serving = [Depends(api.require_serving)]
    user = "/v1/users/{user_id:id}"
    app.get(f"{user}/candidates", dependencies=serving)(api.candidates)
    app.get(f"{user}/profile", dependencies=serving)(api.profile)
    app.get(f"{user}/neighbours", dependencies=serving)(api.neighbours)
    app.get("/v1/items/{item_id:id}/audience", dependencies=serving)(api.audience)
    app.post("/v1/search", dependencies=serving)(api.search)
    app.delete(user, responses={202: {"model": Receipt}})(api.forget)
    app.get("/v1/status")(api.status)
    app.get("/healthz")(api.healthz)
    app.get("/readyz")(api.readyz)
    app.get("/metrics", response_class=Response)(api.metrics)
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(UnknownError, _on_unknown)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    return app


def _invalid(reason: str) -> ApiError:
    return ApiError(422, "invalid_request", reason, "GET /docs describes what is expected")


async def _on_api_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for it
    return JSONResponse(error.body, error.status, error.headers)


async def _on_unknown(_: Request, error: Exception) -> JSONResponse:
    code, hint = next(named for kind, named in _UNKNOWN.items() if isinstance(error, kind))
    return JSONResponse(error_body(code, str(error), hint), 404)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    # the offending input is not repeated: it may be long, or NaN, which is no JSON
    reasons = [
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()
    ]
    return await _on_api_error(request, _invalid("; ".join(reasons)))


async def _on_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    codes = {404: "not_found", 405: "method_not_allowed"}
    body = error_body(
        codes.get(error.status_code, "http_error"), error.detail, "GET /docs lists the endpoints"
    )
    return JSONResponse(body, error.status_code, error.headers)
