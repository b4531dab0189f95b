"""The page's files: read once, from the package, and sent with what keeps them to themselves."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import Response

from store.service.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from starlette.datastructures import Headers

__all__ = ["SECURITY_HEADERS", "Pages"]

#: Nothing is loaded from elsewhere, no script or style stands in the page, and no other page may
#: hold it in a frame.
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    # kept, and asked for each time whether it still is the same
    "cache-control": "no-cache",
}
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml"}
_LEAST_PACKED = 1_000


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    packed: bytes | None
    media_type: str
    tag: str


class Pages:
    """All files, by their path below the folder; what is not one of them is not there."""

    def __init__(self) -> None:
        folder = files("store.dashboard") / "static"
        self._files = {path: _file(path, found.read_bytes()) for path, found in _below(folder)}

    def answer(self, path: str, asked: Headers) -> Response:
        """A file, or 304 where the client has it.

        Raises:
            ApiError: 404, there is none.
        """
        found = self._files.get(path)
        if found is None:
            raise ApiError(
                404, "not_found", "the dashboard has no such file", "GET /dashboard is the page"
            )
        headers = {**SECURITY_HEADERS, "etag": found.tag, "vary": "accept-encoding"}
        if found.tag in (asked.get("if-none-match") or ""):
            return Response(status_code=304, headers=headers)
        body = found.body
        if found.packed is not None and "gzip" in asked.get("accept-encoding", ""):
            body, headers["content-encoding"] = found.packed, "gzip"
        return Response(body, headers=headers, media_type=found.media_type)


def _below(folder: Traversable, before: str = "") -> Iterator[tuple[str, Traversable]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _below(one, f"{before}{one.name}/")
        else:
            yield before + one.name, one


def _file(path: str, body: bytes) -> _File:
    suffix = "." + path.rpartition(".")[2]
    media_type = _TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "text/plain"
    packed = gzip.compress(body, mtime=0) if len(body) >= _LEAST_PACKED else None
    return _File(body, packed, media_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
