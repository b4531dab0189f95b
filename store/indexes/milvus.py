"""An index in Milvus: the engine for more than one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from store.errors import VectorIndexError
from store.indexes.checks import check_counts, check_part, check_vectors
from store.indexes.filters import NO_FILTER
from store.indexes.milvus_collection import MAX_BYTES, MAX_LABELS, MilvusCollection
from store.indexes.milvus_language import (
    chunks,
    excluding,
    having,
    labels_of,
    metadata_of,
    one_of,
    quoted,
)
from store.indexes.protocol import Hits, IndexPart

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from store.indexes.filters import Filter, Metadata
    from store.indexes.milvus_target import MilvusTarget

__all__ = ["MilvusIndex"]

#: Limits of Milvus for a search.
_MAX_HITS, _MAX_QUERIES = 16_384, 16_384
#: A message holds so many keys or bytes: a server takes 64 MiB.
_MESSAGE_KEYS, _MESSAGE_BYTES = 4_096, 16 * 2**20
#: Hits of a message, over all its queries.
_MESSAGE_HITS = 100_000
#: Up to here excluded keys are fetched with the others and dropped; an expression would have every
#: row's key compared.
_MAX_OVERFETCH = 1_024
_PART_KEYS = 8_192


class MilvusIndex:
    """Keys, vectors and metadata are rows of one collection; see `VectorIndex`.

    Reads ask for Milvus' session consistency: they wait for this client's last write. That is
    read-your-write, because one owner makes every call, and costs nothing where nothing was
    written; strong consistency would wait for the clock of the whole cluster at every read.

    What is written in one call may take several messages: where a server fails between two, the
    first keys are written. Written again, the same is there as if it had not failed.

    Args:
        dim: length of the vectors.
        name: of the collection, after the target's prefix.
        target: where Milvus is.
        adopt: keep the rows that a collection already has. By default it is dropped and made anew,
            which is right for whoever writes all of them again; a collection of other fields than
            ours is never dropped.

    Raises:
        VectorIndexError: Milvus is away or refuses, or the collection is not one of ours or, to be
            adopted, of another dim.
    """

    precision = "float32"

    def __init__(self, dim: int, name: str, target: MilvusTarget, *, adopt: bool = False) -> None:
        if dim < 1:
            raise VectorIndexError(f"dim is {dim}; expected at least 1")
        self._dim = dim
        self._target = target
        #: Whether any row may have metadata: if not, nothing needs to be read to keep it.
        self._labelled = adopt
        # Of rows that another client wrote, this one has no last write to wait for.
        self._consistency = "Strong" if adopt else "Session"
        self._collection = MilvusCollection(target, f"{target.prefix}{name}")
        try:
            self._collection.open(dim, adopt=adopt)
        except BaseException:
            self.close()
            raise

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

    @property
    def kind(self) -> str:
        """What it is, for operators."""
        return f"milvus {self._target.kind} float32"

    @property
    def recall(self) -> float | None:
        """Not probed."""
        return None

    def __len__(self) -> int:
        return int(self._query("", ["count(*)"])[0]["count(*)"])

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and bool(self._held([key], ["key"]))

    def upsert(
        self,
        keys: Sequence[str],
        vectors: NDArray[np.float32],
        metadata: Sequence[Metadata] | None = None,
    ) -> None:
        """Insert or replace; see `VectorIndex.upsert`."""
        check_vectors(vectors, self._dim)
        check_counts(keys, vectors, metadata)
        # Milvus refuses a request with the same key twice
        places = list({key: place for place, key in enumerate(keys)}.values())
        labels = None if metadata is None else [labels_of(metadata[place]) for place in places]
        for place, key in enumerate(keys):
            if not _fits(key):
                raise VectorIndexError(
                    f"key {place} is not Unicode of at most {MAX_BYTES} bytes in UTF-8, which is "
                    "what Milvus holds; nothing was written"
                )
        for one in labels or ():
            if len(one) > MAX_LABELS or not all(map(_fits, one)):
                raise VectorIndexError(
                    f"a key's metadata is more than {MAX_LABELS} values, or one of them is not "
                    f"Unicode of at most {MAX_BYTES} bytes; nothing was written"
                )
        self._write([keys[place] for place in places], vectors[places], labels)

    def delete(self, keys: Sequence[str]) -> int:
        """Remove keys; see `VectorIndex.delete`."""
        # Milvus says how many it was asked to delete, not how many it held
        held = [row["key"] for row in self._held(keys, ["key"])]
        for some in _messages(held):
            self._collection.call("delete", filter=one_of(some))
        return len(held)

    def get(self, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Vectors of those of the keys that are held."""
        rows = self._held(keys, ["key", "vector"])
        return {row["key"]: np.array(row["vector"], np.float32) for row in rows}

    def search(self, queries: NDArray[np.float32], k: int, where: Filter = NO_FILTER) -> list[Hits]:
        """The k best keys for each query; see `VectorIndex.search`.

        Raises:
            VectorIndexError: also for k above 16,384, which Milvus does not do.
        """
        check_vectors(queries, self._dim)
        if not 1 <= k <= _MAX_HITS:
            raise VectorIndexError(f"k is {k}; expected at least 1 and, of Milvus, {_MAX_HITS:,}")
        if not all(len(values) for values in where.fields.values()):
            return [Hits([], np.empty(0, np.float32)) for _ in queries]
        dropped = {key for key in where.exclude if _fits(key)}
        expression = having(where)
        if len(dropped) > min(_MAX_OVERFETCH, _MAX_HITS - k):
            expression += f"{' and ' * bool(expression)}{excluding(dropped)}"
            dropped = set()
        fetch = k + len(dropped)
        step = max(1, min(_MAX_QUERIES, _MESSAGE_HITS // fetch))
        hits = []
        for start in range(0, len(queries), step):
            found = self._collection.call(
                "search",
                data=list(queries[start : start + step]),
                filter=expression,
                limit=fetch,
                output_fields=["key"],
                search_params=self._target.search(fetch),
                consistency_level=self._consistency,
            )
            hits += [_hits(one, k, dropped) for one in found]
        return hits

    def snapshot(self, keys: Sequence[str] | None = None) -> Iterator[IndexPart]:
        """All that is held, in the order of keys; see `VectorIndex.snapshot`."""
        if keys is not None:
            yield self._part(self._held(keys, ["key", "vector", "labels"]))
            return
        most = max(1, min(_PART_KEYS, _MESSAGE_BYTES // (4 * self._dim)))
        after = 'key >= ""'
        while True:
            # An iterator's requests are answered in the order of keys, and with what is newest.
            # pymilvus' own iterator does not quote the key that it goes on from.
            rows = self._collection.call(
                "query",
                filter=after,
                output_fields=["key", "vector", "labels"],
                limit=most,
                iterator="True",
                reduce_stop_for_best="True",
            )
            if not rows:
                return
            yield self._part(rows)
            after = f"key > {quoted(rows[-1]['key'])}"

    def restore(self, parts: Iterable[IndexPart]) -> None:
        """Upsert what a snapshot gave; see `VectorIndex.restore`."""
        for part in parts:
            check_part(part, self.precision, self._dim, np.float32)
            self.upsert(part.keys, part.vectors, part.metadata)

    def maintain(self) -> bool:
        """Nothing is put off: Milvus compacts and indexes by itself."""
        return False

    def close(self) -> None:
        """Let go of the connection, and of milvus-lite's folder. May be called again."""
        self._collection.close()

    def _part(self, rows: list[dict[str, Any]]) -> IndexPart:
        vectors = np.array([row["vector"] for row in rows], np.float32)
        return IndexPart(
            [row["key"] for row in rows],
            vectors.reshape(len(rows), self._dim),
            self.precision,
            [metadata_of(row["labels"]) for row in rows],
        )

    def _write(
        self, keys: list[str], vectors: NDArray[np.float32], labels: list[list[str]] | None
    ) -> None:
        if labels is None and self._labelled:
            held = {row["key"]: row["labels"] for row in self._held(keys, ["key", "labels"])}
            labels = [held.get(key, []) for key in keys]
        self._labelled = self._labelled or any(labels or ())
        rows = [
            {"key": key, "vector": vector, "labels": labels[place] if labels else []}
            for place, (key, vector) in enumerate(zip(keys, vectors, strict=True))
        ]
        sizes = [
            4 * self._dim + 4 * len(row["key"]) + sum(4 * len(one) + 8 for one in row["labels"])
            for row in rows
        ]
        for some in chunks(sizes, most=_MESSAGE_KEYS, most_bytes=_MESSAGE_BYTES):
            self._collection.call("upsert", data=rows[some])

    def _held(self, keys: Iterable[str], fields: list[str]) -> list[dict[str, Any]]:
        """The rows of those keys that are held, each once."""
        return [
            row
            for some in _messages([key for key in dict.fromkeys(keys) if _fits(key)])
            for row in self._query(one_of(some), fields)
        ]

    def _query(self, expression: str, fields: list[str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._collection.call(
            "query",
            filter=expression,
            output_fields=fields,
            consistency_level=self._consistency,
        )
        return rows


def _fits(text: str) -> bool:
    """Whether Milvus can hold it."""
    try:
        return len(text.encode()) <= MAX_BYTES
    except UnicodeEncodeError:  # half a surrogate pair
        return False


def _messages(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Keys, as many as a message holds at a time."""
    sizes = [4 * len(key) + 8 for key in keys]
    for some in chunks(sizes, most=_MESSAGE_KEYS, most_bytes=_MESSAGE_BYTES):
        yield keys[some]


def _hits(found: Iterable[Any], k: int, dropped: set[str]) -> Hits:
    kept = [one for one in found if one["key"] not in dropped][:k]
    return Hits(
        [one["key"] for one in kept], np.array([one["distance"] for one in kept], np.float32)
    )
