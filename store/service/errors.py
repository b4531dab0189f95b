"""Errors as answers, all in one shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from store.errors import UnknownCategoryError, UnknownError, UnknownItemError, UnknownUserError
from store.service.guard import error_body

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

__all__ = ["ApiError", "add_handlers", "invalid"]

_UNKNOWN: dict[type[UnknownError], tuple[str, str]] = {
    UnknownUserError: (
        "unknown_user",
        "ask for candidates with fallback=popular, or publish an action of the user first",
    ),
    UnknownItemError: ("unknown_item", "publish the item to the items topic first"),
    UnknownCategoryError: ("unknown_category", "categories are matched exactly; check the items"),
}


class ApiError(Exception):
    """An answer in the one shape of errors."""

    def __init__(
        self, status: int, code: str, reason: str, hint: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.body = error_body(code, reason, hint)
        self.headers = headers


def invalid(reason: str) -> ApiError:
    """The request is not as described."""
    return ApiError(422, "invalid_request", reason, "GET /docs describes what is expected")


def add_handlers(app: FastAPI) -> None:
    """Have every error of the application answered in the one shape."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(UnknownError, _on_unknown)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


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
    return await _on_api_error(request, invalid("; ".join(reasons)))


async def _on_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    codes = {404: "not_found", 405: "method_not_allowed"}
    body = error_body(
        codes.get(error.status_code, "http_error"), error.detail, "GET /docs lists the endpoints"
    )
    return JSONResponse(body, error.status_code, error.headers)
