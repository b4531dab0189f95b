"""Errors as answers, all in one shape."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from starlette.responses import Response

from store.errors import (
    UnknownCategoryError,
    UnknownError,
    UnknownItemError,
    UnknownUserError,
)
from store.service.context import current
from store.service.models import ErrorDetail, ErrorResponse
from store.service.negotiation import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ApiError", "answer_error", "invalid", "unknown", "without_words"]

_UNKNOWN: dict[type[UnknownError], tuple[str, str]] = {
    UnknownUserError: (
        "unknown_user",
        (
            "ask for candidates with fallback=popular (tidemark candidates: --fallback popular), "
            "or publish an action of the user first"
        ),
    ),
    UnknownItemError: ("unknown_item", "publish the item to the items topic first"),
    UnknownCategoryError: ("unknown_category", "categories are matched exactly; check the items"),
}


class ApiError(Exception):
    """An answer in the one shape of errors."""

    def __init__(
        self,
        status: int,
        code: str,
        reason: str,
        hint: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.detail = ErrorDetail(code, reason, hint)
        self.headers = headers


def invalid(reason: str) -> ApiError:
    """The request is not as described."""
    return ApiError(422, "invalid_request", reason, "GET /docs describes what is expected")


def unknown(error: UnknownError) -> ErrorDetail:
    """What is said of something that the view does not hold."""
    code, hint = next(named for kind, named in _UNKNOWN.items() if isinstance(error, kind))
    return ErrorDetail(code, str(error), hint)


def answer_error(
    status: int, detail: ErrorDetail, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer to the request being handled, in the format that it asked for."""
    context = current()
    body = encode(ErrorResponse(detail, context.id), context.media_type)
    return Response(body, status, headers, context.media_type)


def without_words(error: BaseException) -> str:
    """An error for the log: kinds and places. Its words may be a user's id or text."""
    lines: list[str] = []
    one: BaseException | None = error
    while one is not None:
        kind = type(one)
        lines += [f"{kind.__module__}.{kind.__qualname__}, its words left out"]
        lines += [
            f"  {frame.filename}:{frame.lineno} in {frame.name}"
            for frame in traceback.extract_tb(one.__traceback__)
        ]
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "\n".join(lines)
