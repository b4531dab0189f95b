"""The FastAPI application, put together."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, Security
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from starlette.convertors import PathConvertor, register_url_convertor

from store.dashboard.parts import DashboardParts
from store.generations import Generations
from store.sensor import Sensor
from store.service.endpoints import Api, Forget
from store.service.guard import RequestGuard
from store.service.handlers import add_handlers
from store.service.models import (
    Audience,
    Candidates,
    CandidatesBatch,
    ErrorResponse,
    Health,
    Neighbours,
    Profile,
    ProfilesBatch,
    Readiness,
    Receipt,
    SearchResult,
    Status,
    Why,
)
from store.service.negotiation import JSON, MEDIA_TYPES
from store.service.settings import ServiceSettings

if TYPE_CHECKING:
    from store.dashboard.endpoints import Dashboard

__all__ = ["create_app"]


_ERRORS = {
    400: "The request cannot be read",
    401: "No token, or one that is not known",
    403: "The token has not the scope",
    404: "There is no such user, item, category or path",
    406: "Neither JSON nor MessagePack is accepted",
    408: "The body did not come in time",
    409: "The vector is of another encoder than what is held, or what is to rank is not there",
    413: "The body is too large",
    415: "The body is neither JSON nor MessagePack",
    422: "The request is not as described",
    429: "Too many requests are waiting",
    500: "An unexpected error",
    503: "Not ready, or something needed has failed",
    504: "The deadline has passed",
}


_ERROR = {"$ref": "#/components/schemas/ErrorResponse"}


class _IdConvertor(PathConvertor):
    """An id in a path: any characters, line ends too."""

    regex = "(?s:.*)"


register_url_convertor("id", _IdConvertor())


def create_app(
    *,
    generations: Generations,
    forget: Forget,
    registry: CollectorRegistry,
    sensor: Sensor | None = None,
    settings: ServiceSettings | None = None,
    dashboard: DashboardParts | None = None,
) -> FastAPI:
    """The service. Its lifespan starts and stops the generations; they are the caller's to close.

    Args:
        generations: what is asked.
        forget: publishes a ``forget`` of a user and waits until the broker has it.
        registry: served at /metrics.
        sensor: told of every request; usually a `PrometheusSensor` on the same registry.
        settings: limits, and who is let in.
        dashboard: what the page at /dashboard shows beside this service.

    Its ``state.end_streams`` is to be called when the server is about to stop: it waits for
    answers to end, and the dashboard's do not.
    """
    from store.dashboard.endpoints import Dashboard  # noqa: PLC0415 # built on this package

    settings = settings or ServiceSettings()
    shown = Dashboard(generations, registry, dashboard or DashboardParts())
    api = Api(
        generations=generations,
        forget=forget,
        registry=registry,
        settings=settings,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await generations.start()
        shown.start()
        try:
            yield
        finally:
            await shown.stop()
            await generations.stop()

    # The pages at /docs and /redoc without what FastAPI's own would load from elsewhere.
    app: FastAPI = FastAPIOffline(
        title="Tidemark retrieval",
        lifespan=lifespan,
        redirect_slashes=False,
        responses=_errors(),
    )
    app.add_middleware(
        RequestGuard, settings=settings, sensor=sensor or Sensor(), generations=generations
    )
    _add_endpoints(app, api, shown)
    app.state.end_streams = shown.streams.end
    add_handlers(app)
    return app


def _add_endpoints(app: FastAPI, api: Api, shown: "Dashboard") -> None:
    # Said, for /docs; the guard sees to it.
    tokens = [Security(HTTPBearer(auto_error=False))]
    serving = [Depends(api.require_serving), *tokens]
    shown.add_to(app, tokens, serving)
    user = "/v1/users/{user_id:id}"
    gets: tuple[tuple[str, Callable[..., Any], type[Any]], ...] = (
        (f"{user}/candidates", api.candidates, Candidates),
        (f"{user}/why", api.why, Why),
        (f"{user}/profile", api.profile, Profile),
        (f"{user}/neighbours", api.neighbours, Neighbours),
        ("/v1/items/{item_id:id}/audience", api.audience, Audience),
    )
    posts: tuple[tuple[str, Callable[..., Any], type[Any]], ...] = (
        ("/v1/candidates", api.candidates_of, CandidatesBatch),
        ("/v1/profiles", api.profiles_of, ProfilesBatch),
        ("/v1/search", api.search, SearchResult),
    )
    for path, endpoint, model in gets:
        app.get(path, response_model=model, dependencies=serving, responses=_ok())(endpoint)
    for path, endpoint, model in posts:
        app.post(path, response_model=model, dependencies=serving, responses=_ok())(endpoint)
    app.delete(
        user,
        response_model=Receipt,
        dependencies=tokens,
        responses={**_ok(), 202: {"model": Receipt, "description": "Published, not yet gone"}},
    )(api.forget)
    app.get("/v1/status", response_model=Status, dependencies=tokens, responses=_ok())(api.status)
    app.get(
        "/healthz",
        response_model=Health,
        # once, so that what the references of `_errors` name is described
        responses={500: {"model": ErrorResponse, "description": _ERRORS[500]}},
    )(api.healthz)
    app.get("/readyz", response_model=Readiness)(api.readyz)
    app.get(
        "/metrics",
        response_class=PlainTextResponse,
        dependencies=tokens,
        # an error is none of the class's media type
        responses={code: {"content": {JSON: {"schema": _ERROR}}} for code in _ERRORS},
    )(api.metrics)


def _ok() -> dict[int | str, dict[str, Any]]:
    """Beside JSON, which FastAPI writes down itself."""
    return {200: {"content": {one: {} for one in MEDIA_TYPES if one != JSON}}}


def _errors() -> dict[int | str, dict[str, Any]]:
    """By reference: models for each route and code would cost each start a quarter of a second."""
    return {
        code: {"content": {JSON: {"schema": _ERROR}}, "description": words}
        for code, words in _ERRORS.items()
    }
