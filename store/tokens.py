"""Bearer tokens: made, kept as hashes, and known again.

A token is 256 random bits, kept as its SHA-256. A slow hash, which protects what people think up
against being guessed, would add nothing to so many bits, and cost every request its time.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PREFIX", "Scope", "Token", "digest", "find", "new_token"]

#: Begins every token, so that one found where it should not be is known for what it is.
PREFIX = "tdmk_"
_TOKEN_BYTES = 32

#: What a token allows: to query, to forget users, to see metrics and status. None includes another.
Scope = Literal["read", "write", "admin"]


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is let in.

    Attributes:
        sha256: of the token, 64 hexadecimal digits in lower case.
        scopes: what it may do.
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


def find(given: str, tokens: Iterable[Token]) -> Token | None:
    """The token that this is, or None.

    Every one is compared, each in constant time: how long it takes tells nothing.
    """
    hashed = digest(given)
    found: Token | None = None
    for one in tokens:
        if hmac.compare_digest(one.sha256, hashed):
            found = one
    return found
