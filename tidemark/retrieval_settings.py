"""Settings of the retrieval service, and of the commands that ask it."""

from __future__ import annotations

import ipaddress
from pathlib import Path  # noqa: TC003 # pydantic reads it at run time
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from store.tokens import PREFIX, Scope
from tidemark.errors import SettingsError
from tidemark.setting_types import Group, Port, Positive, PositiveInt

__all__ = ["ClientSettings", "RankingSettings", "RetrievalSettings", "TokenSettings"]


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
    """address to serve on"""
    port: Port = 8080
    """port to serve on"""
    index: Literal["faiss", "exact", "milvus"] = "faiss"
    """or `exact` (NumPy), or `milvus`: milvus.md"""
    precision: Literal["float32", "bfloat16", "float16", "int8"] | None = None
    """how `faiss` stores vectors: or `float32`, `float16`, `int8`; `exact` knows `float32` alone"""
    sequence: Path | None = None
    """a profile function by `tidemark train sequence`, for `profile=sequence` (training.md)"""
    mean_removal: bool = True
    """whether profiles are searched for without the mean vector of the items, once there are 100
    (retrieval-api.md)"""
    whitening: Annotated[float, Field(ge=0, le=1)] = 0.0
    """the power by which directions in which items differ much count less in that search; 0.25 is
    a good one, 0: none (retrieval-api.md)"""
    accelerate_above: PositiveInt = 130_000
    """beyond so many items or profiles not each is looked at (store.md)"""
    snapshot_seconds: Annotated[float, Field(ge=0)] = 300.0
    """how often what it holds is written to the state folder, for the next start; 0: never"""
    milvus_uri: str | None = None
    """`milvus://host:19530`, `http(s)://…`, or a path that ends in `.db` (milvus-lite)"""
    milvus_token: SecretStr | None = None
    """`user:password` or an API key; never printed"""
    milvus_prefix: str = "tidemark_"
    """of the two collections' names; of one retrieval service each"""
    milvus_kind: Literal["FLAT", "HNSW", "AUTOINDEX"] = "FLAT"
    """exact; `HNSW` and `AUTOINDEX` are approximate"""
    milvus_timeout_seconds: Positive = 30.0
    """for a call to Milvus, with all that is tried again"""
    rank: Literal["nearest", "blend", "mlp"] | None = None
    """what orders candidates where a request does not say: by default the learned blend, or
    nearness where `ranking.enabled` is false"""
    ranker: Path | None = None
    """orders candidates where `rank=mlp` is asked for; by `tidemark train ranker`"""
    max_lag_records: PositiveInt = 10_000
    """with more records to read, the service is not ready"""
    freshness_slo_seconds: Positive = 1.0
    """an action that is retrievable so soon after it was published counts as fresh"""
    freshness_objective: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """the share of profiles that is to be"""
    tokens: tuple[TokenSettings, ...] = ()
    """list of `{sha256, scopes, name}`, by `tidemark token new`; without any the service lets
    everyone in, and starts on loopback only"""
    cert_file: Path | None = None
    """certificate, PEM: the service speaks TLS"""
    key_file: Path | None = None
    """its key, PEM, not encrypted, where it is not in `cert_file`"""
    request_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    """a request that is not answered by then gets 504, unless it says `X-Request-Timeout`; at most
    60"""
    max_waiting: PositiveInt = 256
    """requests at once; one more gets 429"""

    @model_validator(mode="after")
    def _whole(self) -> RetrievalSettings:
        if self.key_file is not None and self.cert_file is None:
            msg = "key_file is given without cert_file; expected both for TLS"
            raise ValueError(msg)
        if self.index == "milvus" and not self.milvus_uri:
            msg = "index is milvus; expected milvus_uri, of a server or a path that ends in .db"
            raise ValueError(msg)
        if self.rank == "mlp" and self.ranker is None:
            msg = "rank is mlp; expected ranker, a model made by: tidemark train ranker"
            raise ValueError(msg)
        if self.whitening and not self.mean_removal:
            msg = f"whitening is {self.whitening:g}; expected mean_removal, which comes before it"
            raise ValueError(msg)
        if self.whitening and self.ranker is not None:
            msg = (
                f"whitening is {self.whitening:g}; expected no ranker: one is trained on profiles "
                "without it"
            )
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


class RankingSettings(Group):
    """What the retrieval service learns from what users come to (ranking.md)."""

    enabled: bool = True
    """whether it learns: without, `rank=blend` cannot be asked for"""
    partners: Annotated[int, Field(ge=16, le=1024)] = 256
    """kept of each item, a power of two: what users came to beside it, and after it; 16 bytes
    each"""
    counted_per_second: Annotated[float, Field(ge=0)] = 2_000.0
    """changes of profiles that are counted, at most: of more, a sample"""
    learned_per_second: Annotated[float, Field(ge=0)] = 20.0
    """of these, changes that the weights are learned from, at most; a blend without a past learns
    from its first 2,000 however fast they come"""

    @field_validator("partners")
    @classmethod
    def _power_of_two(cls, partners: int) -> int:
        if partners & (partners - 1):
            msg = f"expected a power of two, not {partners}"
            raise ValueError(msg)
        return partners


class ClientSettings(Group):
    """How the commands reach the retrieval service."""

    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+/?$")] | None = None
    """where `tidemark profile`, `candidates` and `encode` find the retrieval service"""
    token: SecretStr | None = None
    """that they and `tidemark demo` send; never printed"""
    ca_file: Path | None = None
    """certificates to trust, PEM"""
