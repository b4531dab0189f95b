"""Calls to Milvus about one collection, and its errors in words."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from grpc import RpcError, StatusCode
from pymilvus import DataType, MilvusClient, MilvusException

from store.errors import VectorIndexError

if TYPE_CHECKING:
    from store.indexes.milvus_target import MilvusTarget

__all__ = ["MAX_BYTES", "MAX_LABELS", "MilvusCollection"]

#: Limits of Milvus: bytes of a string, labels of a row.
MAX_BYTES, MAX_LABELS = 65_535, 4_096
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.05, 1.0
#: Codes of `MilvusException`: the client cannot connect or, the same number, the server has a part
#: that does not run; or gRPC's.
_AWAY = {2, StatusCode.UNAVAILABLE}
_NO_COLLECTION = 100
_FIELDS = {
    "key": DataType.VARCHAR,
    "vector": DataType.FLOAT_VECTOR,
    "labels": DataType.ARRAY,
}

#: How many of us use each folder of milvus-lite, whose server runs in this process.
_users: Counter[str] = Counter()
_users_lock = threading.Lock()

# It prints the traceback of each error that it raises, which we do, too.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


class MilvusCollection:
    """A client, and the name of the collection that it is asked about.

    Args:
        target: where Milvus is.
        name: of the collection, which need not be there.

    Raises:
        VectorIndexError: Milvus is away or refuses; says what to do, as every call does.
    """

    def __init__(self, target: MilvusTarget, name: str) -> None:
        self.target = target
        self.name = name
        try:
            self._client: MilvusClient | None = _connect(target)
        except (MilvusException, RpcError, OSError) as error:
            raise self._in_words("connect", error) from error

    def open(self, dim: int, *, adopt: bool) -> None:
        """Have the collection there: a new, empty one, or with ``adopt`` the one that is there.

        Raises:
            VectorIndexError: one is there that is not ours, or to be adopted but of another dim.
        """
        if self.call("has_collection"):
            self._check(dim if adopt else None)
            if adopt:
                self.call("load_collection")
                return
            self.call("drop_collection")
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=MAX_BYTES)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        schema.add_field(
            "labels",
            DataType.ARRAY,
            element_type=DataType.VARCHAR,
            max_capacity=MAX_LABELS,
            max_length=MAX_BYTES,
        )
        index = MilvusClient.prepare_index_params()
        index.add_index("vector", **self.target.build)
        self.call(
            "create_collection", schema=schema, index_params=index, consistency_level="Session"
        )

    def call(self, method: str, **arguments: Any) -> Any:
        """What a method of `MilvusClient` says of the collection.

        Raises:
            VectorIndexError: it failed, or the collection was closed.
        """
        if self._client is None:
            raise VectorIndexError("the index is closed")
        ask = getattr(self._client, method)
        deadline, pause = time.monotonic() + self.target.timeout, _FIRST_PAUSE_S
        while True:
            try:
                left = max(deadline - time.monotonic(), _FIRST_PAUSE_S)
                return ask(self.name, timeout=left, **arguments)
            except (MilvusException, RpcError) as error:
                # pymilvus itself gives up at the first attempt to connect again that fails. All
                # that we ask for may be asked twice.
                if not _away(error) or time.monotonic() + pause > deadline:
                    raise self._in_words(method, error) from error
            time.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE_S)

    def close(self) -> None:
        """Let go of the connection, and of milvus-lite's folder. May be called again."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
            _release(self.target)

    def _check(self, dim: int | None) -> None:
        fields = {one["name"]: one for one in self.call("describe_collection")["fields"]}
        if {name: one["type"] for name, one in fields.items()} != _FIELDS:
            raise VectorIndexError(
                f"the Milvus collection {self.name} is no index of Tidemark's: its fields are "
                f"{', '.join(fields)}; expected {', '.join(_FIELDS)}. Choose another "
                "retrieval.milvus_prefix"
            )
        held = int(fields["vector"]["params"]["dim"])
        if dim not in {None, held}:
            raise VectorIndexError(
                f"the Milvus collection {self.name} holds vectors of length {held}; expected "
                f"{dim}. Drop it, or choose another retrieval.milvus_prefix"
            )

    def _in_words(self, attempt: str, error: Exception) -> VectorIndexError:
        reason = " ".join((getattr(error, "message", None) or str(error)).split())
        return VectorIndexError(
            f"Milvus at {self.target.uri} ({attempt} of {self.name}): {reason}. "
            f"{_remedy(self.target, attempt, reason, _code(error))}"
        )


def _connect(target: MilvusTarget) -> MilvusClient:
    if target.file is not None:
        target.file.parent.mkdir(parents=True, exist_ok=True)
    # A connection of its own is closed with the index; a shared one would stay.
    client = MilvusClient(
        target.address, token=target.token, timeout=target.timeout, dedicated=True
    )
    if target.file is not None:
        with _users_lock:
            _users[target.address] += 1
    return client


def _release(target: MilvusTarget) -> None:
    """Stop milvus-lite where nobody uses its folder any more."""
    if target.file is None:
        return
    from milvus_lite.server_manager import server_manager_instance  # noqa: PLC0415 - optional

    with _users_lock:
        _users[target.address] -= 1
        if _users[target.address] == 0:
            server_manager_instance.release_server(target.address)


def _away(error: Exception) -> bool:
    """Whether it may help to ask again."""
    return _code(error) in _AWAY


def _code(error: Exception) -> object:
    code = getattr(error, "code", None)
    return code() if callable(code) else code  # of gRPC's own errors it is a method


def _remedy(target: MilvusTarget, attempt: str, reason: str, code: object) -> str:
    """What to do about it."""
    low = reason.lower()
    if "milvus-lite is required" in low:
        return 'Install it: pip install "tidemark[milvus-lite]"'
    if attempt == "connect" and target.file is not None:
        return (
            "Expected a folder of milvus-lite that no other process has open: stop that, or give "
            "another path in retrieval.milvus_uri"
        )
    if any(word in low for word in ("unauthenticated", "auth check", "permission")):
        return "Check retrieval.milvus_token and what its user may do"
    if code == _NO_COLLECTION:
        return "Somebody dropped the collection: start the service again, which makes it anew"
    return (
        "Check that the server is up and reached at retrieval.milvus_uri; "
        f"a call may take retrieval.milvus_timeout_seconds ({target.timeout:g} s)"
    )
