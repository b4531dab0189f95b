"""Who may ask for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.service.errors import ApiError
from store.tokens import find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.tokens import Scope, Token

__all__ = ["Tokens", "scope_of"]

_OPEN = {
    "/healthz", "/readyz", "/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect",
    "/dashboard",
}  # fmt: skip
_OPEN_FOLDERS = ("/static-offline-docs/", "/dashboard/")
_ADMIN = {"/metrics", "/v1/status", "/v1/dashboard/stream"}


def scope_of(method: str, path: str) -> Scope | None:
    """What a request needs; None where everyone may. What is not named here needs ``read``.

    Open are the two probes, and the pages that describe the interface or ask for its data, but have
    none of it.
    """
    if path in _OPEN or path.startswith(_OPEN_FOLDERS):
        return None
    if path in _ADMIN:
        return "admin"
    return "write" if method == "DELETE" else "read"


class Tokens:
    """The tokens known; without any, everyone may do everything."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tuple(tokens)

    def admit(self, authorization: str | None, scope: Scope | None) -> str:
        """Let a request in, or not.

        Args:
            authorization: the header.
            scope: what the request needs.

        Returns:
            The token's name, ``-`` where none was looked at.

        Raises:
            ApiError: 401 without a token that is known, 403 where it may not do this.
        """
        if not self._tokens or scope is None:
            return "-"
        kind, _, given = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not given.strip():
            raise _unauthorised("no bearer token came with the request", "")
        found = find(given.strip(), self._tokens)
        if found is None:
            raise _unauthorised("the token is not known", ', error="invalid_token"')
        if scope not in found.scopes:
            raise ApiError(
                403,
                "forbidden",
                f"the token has not the scope {scope}",
                f"use one that has, made by: tidemark token new --scope {scope}",
                {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            )
        return found.name


def _unauthorised(reason: str, challenge: str) -> ApiError:
    return ApiError(
        401,
        "unauthorized",
        reason,
        "send the header Authorization: Bearer TOKEN",
        {"WWW-Authenticate": f'Bearer realm="tidemark"{challenge}'},
    )
