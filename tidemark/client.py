"""The commands' way to the retrieval service."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import httpx

from tidemark.errors import RetrievalError, SettingsError

if TYPE_CHECKING:
    from store.tokens import Scope
    from tidemark.settings import Settings

__all__ = ["KEPT_SECONDS", "RetrievalClient", "open_client"]

#: A connection that was idle for longer is not used again. The service closes those idle for 5
#: seconds, as httpx's own 5 would be: a question at that moment met a reset.
KEPT_SECONDS = 2.0

_TOKEN_STATUS = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}


def open_client(
    settings: Settings, url: str | None = None, *, timeout: float = 30.0
) -> httpx.Client:
    """A client that sends the token, and trusts the certificates, that the settings name.

    Args:
        settings: `client.*`; without a URL there, `retrieval.*` says where.
        url: wins over them.
        timeout: seconds.

    Raises:
        SettingsError: the file of certificates cannot be used.
    """
    client = settings.client
    headers = {}
    if client.token is not None:
        headers["Authorization"] = f"Bearer {client.token.get_secret_value()}"
    verify: ssl.SSLContext | bool = True
    if client.ca_file is not None:
        try:
            verify = ssl.create_default_context(cafile=client.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"client.ca_file {client.ca_file} cannot be used: {error.strerror or error}; "
                "expected certificates in PEM"
            ) from error
    return httpx.Client(
        base_url=url or client.url or settings.retrieval.url(),
        headers=headers,
        verify=verify,
        timeout=timeout,
        limits=httpx.Limits(
            max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEPT_SECONDS
        ),
    )


class RetrievalClient:
    """Questions to the retrieval service, and errors in words.

    Args:
        http: to whom; see `open_client`.
    """

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def get(self, path: str, *, scope: Scope = "read", **params: Any) -> dict[str, Any]:
        """The answer to a GET.

        Args:
            path: of the service.
            scope: that a token needs for it.
            params: of the query.

        Raises:
            RetrievalError: there is none; says why and what to do.
        """
        return self._ask("GET", path, scope, params)

    def delete(self, path: str, *, scope: Scope = "write", **params: Any) -> dict[str, Any]:
        """The answer to a DELETE; as `get`."""
        return self._ask("DELETE", path, scope, params)

    def _ask(self, method: str, path: str, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        where = self._http.base_url
        try:
            answer = self._http.request(method, path, params=params)
        except httpx.HTTPError as error:
            raise RetrievalError(
                f"no retrieval service answers at {where}: {str(error) or type(error).__name__}; "
                "start one with: tidemark up, or name it with --url"
            ) from error
        try:
            body = answer.json()
        except ValueError:
            body = None
        if answer.is_success and isinstance(body, dict):
            return body
        said = body.get("error") if isinstance(body, dict) else None
        if not isinstance(said, dict) or not {"reason", "hint"} <= said.keys():
            raise RetrievalError(
                f"what answers at {where} is no retrieval service of Tidemark (status "
                f"{answer.status_code}); name another with --url",
                status=answer.status_code,
            )
        hint = said["hint"]
        if answer.status_code in _TOKEN_STATUS:
            hint = f"set TIDEMARK_CLIENT__TOKEN to a token with the scope {scope}"
        raise RetrievalError(f"{said['reason']}; {hint}", status=answer.status_code)
