"""Settings of the retrieval service, and of the commands that ask it."""

from __future__ import annotations

import ipaddress
from pathlib import Path  # noqa: TC003 # pydantic reads it at run time
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from store.tokens import PREFIX, Scope
from tidemark.errors import SettingsError
from tidemark.setting_types import Group, Port, Positive, PositiveInt

__all__ = ["ClientSettings", "RetrievalSettings", "TokenSettings"]


class TokenSettings(Group):
    """A token that is let in, as `tidemark token new` prints it."""

    sha256: str
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "-"

    @field_validator("sha256")
    @classmethod
    def _is_a_hash(cls, given: str) -> str:
        if given.startswith(PREFIX):
            msg = "this is the token itself; expected its SHA-256, by: tidemark token new"
            raise ValueError(msg)
        if len(given) != 64 or not set(given) <= set("0123456789abcdef"):  # noqa: PLR2004 # 256 bits
            msg = "expected a SHA-256 in 64 hexadecimal digits, by: tidemark token new"
            raise ValueError(msg)
        return given


class RetrievalSettings(Group):
    """The retrieval service."""

    host: str = "127.0.0.1"
    port: Port = 8080
    index: Literal["faiss", "exact", "milvus"] = "faiss"
    precision: Literal["float32", "bfloat16", "float16", "int8"] | None = None
    accelerate_above: PositiveInt = 130_000
    snapshot_seconds: Annotated[float, Field(ge=0)] = 300.0
    milvus_uri: str | None = None
    milvus_token: SecretStr | None = None
    milvus_prefix: str = "tidemark_"
    milvus_kind: Literal["FLAT", "HNSW", "AUTOINDEX"] = "FLAT"
    milvus_timeout_seconds: Positive = 30.0
    max_lag_records: PositiveInt = 10_000
    freshness_slo_seconds: Positive = 1.0
    freshness_objective: Annotated[float, Field(gt=0, lt=1)] = 0.99
    tokens: tuple[TokenSettings, ...] = ()
    cert_file: Path | None = None
    key_file: Path | None = None
    request_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    max_waiting: PositiveInt = 256

    @model_validator(mode="after")
    def _whole(self) -> RetrievalSettings:
        if self.key_file is not None and self.cert_file is None:
            msg = "key_file is given without cert_file; expected both for TLS"
            raise ValueError(msg)
        if self.index == "milvus" and not self.milvus_uri:
            msg = "index is milvus; expected milvus_uri, of a server or a path that ends in .db"
            raise ValueError(msg)
        if "://" in (self.milvus_uri or "") and "@" in (self.milvus_uri or ""):
            msg = "milvus_uri holds credentials; expected them in milvus_token, as user:password"
            raise ValueError(msg)
        return self

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def require_protection(self) -> None:
        """Refuse to serve everyone what only some may see.

        Raises:
            SettingsError: it can be reached from elsewhere and lets everyone in.
        """
        if not self.tokens and not self.on_loopback:
            raise SettingsError(
                f"retrieval.host is {self.host}, which other machines reach, and there are no "
                "retrieval.tokens: whoever does could read and forget every user. Make a token "
                "with: tidemark token new --scope read, or serve on 127.0.0.1"
            )

    def url(self, port: int | None = None) -> str:
        """Where this machine reaches it.

        Args:
            port: where it is not the setting's.
        """
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 # not bound here
        scheme = "http" if self.cert_file is None else "https"
        named = f"[{here}]" if ":" in here else here
        return f"{scheme}://{named}:{port or self.port}"


class ClientSettings(Group):
    """How the commands reach the retrieval service."""

    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+/?$")] | None = None
    token: SecretStr | None = None
    ca_file: Path | None = None
