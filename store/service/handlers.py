"""What FastAPI raises, and what we raise within it, as answers in the one shape of errors."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from store.errors import NoRankerError, NoSequenceError, UnknownError, VectorIndexError
from store.service.context import current
from store.service.errors import ApiError, answer_error, invalid, unknown, without_words
from store.service.models import ErrorDetail

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.responses import Response

__all__ = ["add_handlers"]

logger = logging.getLogger(__name__)


def add_handlers(app: FastAPI) -> None:
    """Have every error of the application answered in the one shape."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(UnknownError, _on_unknown)
    app.add_exception_handler(NoRankerError, _on_no_ranker)
    app.add_exception_handler(NoSequenceError, _on_no_sequence)
    app.add_exception_handler(VectorIndexError, _on_index_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for it
    return answer_error(error.status, error.detail, error.headers)


async def _on_index_error(_: Request, error: Exception) -> Response:
    # What is asked was checked before: it is the index, such as a server of Milvus that is away.
    logger.error("the index failed: request=%s\n%s", current().id, without_words(error))
    reason = "the index could not answer"
    return answer_error(503, ErrorDetail("index_failed", reason, "ask again, or another replica"))


async def _on_no_ranker(_: Request, error: Exception) -> Response:
    detail = ErrorDetail("no_ranker", str(error), "ask without rank")
    return answer_error(409, detail)


async def _on_no_sequence(_: Request, error: Exception) -> Response:
    detail = ErrorDetail("no_sequence", str(error), "ask without profile=sequence")
    return answer_error(409, detail)


async def _on_unknown(_: Request, error: Exception) -> Response:
    assert isinstance(error, UnknownError)  # noqa: S101 - registered for it
    return answer_error(404, unknown(error))


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    # the offending input is not repeated: it may be long, or NaN, which is no JSON
    reasons = [
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()
    ]
    return await _on_api_error(request, invalid("; ".join(reasons)))


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    codes = {400: "malformed", 404: "not_found", 405: "method_not_allowed"}
    code = codes.get(error.status_code, "http_error")
    detail = ErrorDetail(code, error.detail, "GET /docs lists the endpoints")
    return answer_error(error.status_code, detail, error.headers)
