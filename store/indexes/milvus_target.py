"""Where Milvus is, and what is asked of it; needs no pymilvus."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from store.errors import VectorIndexError

__all__ = ["MilvusKind", "MilvusTarget"]

MilvusKind = Literal["FLAT", "HNSW", "AUTOINDEX"]
_BUILD: dict[MilvusKind, dict[str, int]] = {
    "FLAT": {},
    "HNSW": {"M": 32, "efConstruction": 200},
    "AUTOINDEX": {},
}
#: Of HNSW; Milvus refuses one below k.
_EF = 400
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class MilvusTarget:
    """A server, or a folder for milvus-lite, and how collections are named and indexed there.

    Attributes:
        uri: ``milvus://host:19530``, ``http://…`` or ``https://…``, each with ``/database`` where
            it is not the default one; or a path that ends in ``.db``: milvus-lite runs within the
            process and keeps a folder there, one process at a time.
        token: ``user:password``, or an API key.
        prefix: of the collections' names.
        kind: ``FLAT`` is exact; ``HNSW`` and ``AUTOINDEX`` are approximate.
        timeout: seconds for a call, with all that is tried again.

    Raises:
        VectorIndexError: the URI or the prefix is not as said.
    """

    uri: str
    token: str = field(default="", repr=False)
    prefix: str = "tidemark_"
    kind: MilvusKind = "FLAT"
    timeout: float = 30.0

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.prefix) is None:
            raise VectorIndexError(
                f"the prefix of Milvus collections is {self.prefix!r}; expected letters, digits "
                "and underscores, and no digit first"
            )
        if self.file is not None:
            return
        parts = urlsplit(self.uri)
        if parts.username is not None or parts.password is not None:
            raise VectorIndexError(
                "the URI of Milvus holds credentials; expected them in the token, user:password"
            )
        if parts.scheme not in {"milvus", "http", "https"} or not parts.hostname:
            raise VectorIndexError(
                f"the URI of Milvus is {self.uri!r}; expected milvus://host:19530, "
                "http(s)://host:port, or a path that ends in .db (milvus-lite)"
            )

    @property
    def file(self) -> Path | None:
        """The folder of milvus-lite; None for a server."""
        if "://" in self.uri or not self.uri.endswith(".db"):
            return None
        return Path(self.uri).absolute()

    @property
    def address(self) -> str:
        """The URI as pymilvus takes it."""
        if self.file is not None:
            return str(self.file)
        return re.sub("^milvus://", "http://", self.uri)

    @property
    def build(self) -> dict[str, Any]:
        """How the field of vectors is indexed."""
        return {"index_type": self.kind, "metric_type": "IP", "params": _BUILD[self.kind]}

    def search(self, k: int) -> dict[str, Any]:
        """How k are searched for."""
        params = {"ef": max(_EF, k)} if self.kind == "HNSW" else {}
        return {"metric_type": "IP", "params": params}
