"""The dashboard's endpoints. They are the page's own, and not part of the described interface."""

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from prometheus_client import CollectorRegistry
from starlette.responses import RedirectResponse, Response

from store.catalogue import ANY
from store.dashboard import exploring
from store.dashboard.asking import asked_of
from store.dashboard.letters import LetterBox
from store.dashboard.map import MapMaker
from store.dashboard.pages import SECURITY_HEADERS, Pages
from store.dashboard.parts import DashboardParts
from store.dashboard.sampler import Sampler
from store.dashboard.streams import Streams
from store.dashboard.targets import Targets
from store.generations import Generation, Generations
from store.service import queries
from store.service.context import current
from store.service.endpoints import now_ms
from store.service.negotiation import encode

__all__ = ["Dashboard"]

#: In the query, not in the path: browsers take an id of two dots there for a folder.
Id = Annotated[str, Query(max_length=1_000)]
K = Annotated[int, Query(ge=1, le=100)]


class Dashboard:
    """The endpoints, and what runs behind them between `start` and `stop`."""

    def __init__(
        self, generations: Generations, registry: CollectorRegistry, parts: DashboardParts
    ) -> None:
        self._pages = Pages()
        self._map = MapMaker()
        self._sampler = Sampler(
            registry,
            generations,
            Targets(parts.workers),
            refresh_seconds=parts.refresh_seconds,
        )
        self.streams = Streams(
            self._sampler,
            LetterBox(parts.letters),
            {"refresh_seconds": parts.refresh_seconds},
            most=parts.most_streams,
        )

    def start(self) -> None:
        """Begin to look; in a running loop."""
        self._sampler.start()

    async def stop(self) -> None:
        """End the streams, and look no more."""
        await self.streams.stop()
        await self._sampler.stop()

    def add_to(self, app: FastAPI, tokens: list[Any], serving: list[Any]) -> None:
        """Add the endpoints; ``serving`` is what those depend on that ask the indexes."""

        def get(path: str, endpoint: Any, dependencies: list[Any]) -> None:
            app.get(path, include_in_schema=False, dependencies=dependencies)(endpoint)

        get("/dashboard", self.page, [])
        get("/dashboard/", self.moved, [])
        get("/dashboard/{path:path}", self.file, [])
        get("/v1/dashboard/stream", self.stream, tokens)
        for path, endpoint in (
            ("/v1/dashboard/map", self.map),
            ("/v1/dashboard/users", self.users),
            ("/v1/dashboard/user", self.user),
            ("/v1/dashboard/candidates", self.candidates),
            ("/v1/dashboard/neighbours", self.neighbours),
            ("/v1/dashboard/item", self.item),
        ):
            get(path, endpoint, [*tokens, *serving])

    async def page(self, asked: Request) -> Response:
        """The page."""
        return self._pages.answer("index.html", asked.headers)

    async def moved(self) -> Response:
        """Its addresses are relative to the one without the slash."""
        return RedirectResponse("../dashboard", 308, SECURITY_HEADERS)

    async def file(self, path: str, asked: Request) -> Response:
        """What the page is made of."""
        return self._pages.answer(path, asked.headers)

    async def stream(self) -> Response:
        """Frames and dead letters, as server-sent events."""
        return self.streams.open_one()

    async def map(self) -> Response:
        """A sample of profiles and items in two dimensions."""
        return _answer(await self._map.map(_answering()))

    async def users(self, q: Annotated[str, Query(max_length=1_000)] = "") -> Response:
        """Users by a part of their id."""
        return _answer(await asked_of(_answering(), exploring.find_users, q))

    async def user(self, user: Id) -> Response:
        """A user's profile, its latest actions, and the profile after each."""
        return _answer(await asked_of(_answering(), exploring.user, user))

    async def candidates(self, user: Id, k: K = 10) -> Response:
        """Items for a user, each with the user's actions behind it; popular ones without any."""
        return _answer(
            await asked_of(
                _answering(),
                queries.candidates,
                user,
                k,
                exclude_seen=True,
                wanted=ANY,
                fall_back=True,
                why=True,
                now_ms=now_ms(),
            )
        )

    async def neighbours(self, user: Id, k: K = 10) -> Response:
        """Users like a user."""
        return _answer(await asked_of(_answering(), queries.neighbours, user, k))

    async def item(self, item: Id, k: K = 10) -> Response:
        """An item, the items like it and the users nearest to it."""
        return _answer(await asked_of(_answering(), exploring.item, item, k))


def _answering() -> Generation:
    generation = current().generation
    assert generation is not None  # noqa: S101 # the guard holds it
    return generation


def _answer(value: Any) -> Response:
    media_type = current().media_type
    headers = {"x-content-type-options": "nosniff"}
    return Response(encode(value, media_type), headers=headers, media_type=media_type)
