"""The FastAPI application, put together."""

from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from starlette.convertors import PathConvertor, register_url_convertor

from store.follower import Follower
from store.responses import ErrorResponse, Receipt
from store.sensor import NullSensor, Sensor
from store.service.endpoints import Api, Encode, Forget
from store.service.errors import add_handlers
from store.service.guard import RequestGuard
from store.service.settings import ServiceSettings
from store.view import RetrievalView

__all__ = ["create_app"]


class _IdConvertor(PathConvertor):
    """An id in a path: any characters, line ends too."""

    regex = "(?s:.*)"


register_url_convertor("id", _IdConvertor())


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
    api = Api(
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
    add_handlers(app)
    return app
