"""Bearer tokens: who may ask for what.

A token is 256 random bits, kept as its SHA-256. A slow hash, which protects what people think up
against being guessed, would add nothing to so many bits, and cost every request its time.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from store.service.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PREFIX", "Scope", "Token", "Tokens", "digest", "new_token", "scope_of"]

#: Begins every token, so that one found where it should not be is known for what it is.
PREFIX = "tdmk_"
_TOKEN_BYTES = 32

Scope = Literal["read", "write", "admin"]

_OPEN = {"/healthz", "/readyz", "/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"}
_OPEN_FOLDER = "/static-offline-docs/"
_ADMIN = {"/metrics", "/v1/status"}


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is let in.

    Attributes:
        sha256: of the token, 64 hexadecimal digits.
        scopes: what it may do; none includes another.
        name: for the log.
    """

    sha256: str
    scopes: frozenset[Scope]
    name: str = "-"


def new_token() -> str:
    """A token that nobody had before."""
    return PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def digest(token: str) -> str:
    """What is kept of a token: 64 hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def scope_of(method: str, path: str) -> Scope | None:
    """What a request needs; None where everyone may. What is not named here needs ``read``.

    Open are the two probes, and the pages that describe the interface but none of its data.
    """
    if path in _OPEN or path.startswith(_OPEN_FOLDER):
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
        found = self._find(given.strip())
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

    def _find(self, given: str) -> Token | None:
        """Every token is compared, and in constant time: how long it takes tells nothing."""
        hashed = digest(given)
        found: Token | None = None
        for one in self._tokens:
            if hmac.compare_digest(one.sha256, hashed):
                found = one
        return found


def _unauthorised(reason: str, challenge: str) -> ApiError:
    return ApiError(
        401,
        "unauthorized",
        reason,
        "send the header Authorization: Bearer TOKEN",
        {"WWW-Authenticate": f'Bearer realm="tidemark"{challenge}'},
    )
