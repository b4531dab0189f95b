"""The server: told to end what does not end by itself, before it waits for answers to end."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from fastapi import FastAPI

__all__ = ["RetrievalServer", "serve"]

#: uvicorn's own, where the application did not start.
_NOT_STARTED = 3


class RetrievalServer(uvicorn.Server):
    """uvicorn's; on SIGTERM that waits for the answers being sent, and only then tells the app.

    Args:
        config: of uvicorn.
        end_streams: ends the answers that would go on.
    """

    def __init__(self, config: uvicorn.Config, end_streams: Callable[[], None]) -> None:
        super().__init__(config)
        self._end_streams = end_streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then stop as uvicorn does."""
        self._end_streams()
        await super().shutdown(sockets)


def serve(app: FastAPI, **options: Any) -> None:
    """Serve what `store.service.create_app` made until SIGTERM or Ctrl-C; as ``uvicorn.run``.

    Args:
        app: the application.
        options: of `uvicorn.Config`.
    """
    server = RetrievalServer(uvicorn.Config(app, **options), app.state.end_streams)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(_NOT_STARTED)
