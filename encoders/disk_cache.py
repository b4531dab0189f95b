"""Vectors of texts on disk, shared by the processes of a machine, in LMDB.

LMDB keeps a file that is whole after any crash of a process or of the machine, lets any number of
processes read while one writes, and frees the place of what is deleted for what comes.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import lmdb
import numpy as np

from encoders.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["DiskCache"]

logger = logging.getLogger(__name__)

_SEQUENCE = 8
#: Bytes of an entry beside its vector, about.
_ENTRY = 100
#: Deleted in a transaction when the cache is full: one in so many, and at least so many.
_DELETE_PART, _DELETE_AT_LEAST = 100, 16
#: What the file may hold beside the entries: pages that a reader still looks at, and copies that
#: a transaction makes of what it changes.
_SLACK = 64 * 1024 * 1024
_PAGE = 4096
_WARN_SECONDS = 60.0
#: How long another process may be in the middle of a write when the file is opened.
_OPEN_SECONDS = 5.0
_NAMES = (b"vectors", b"order")


class DiskCache:
    """Texts written longest ago leave first.

    A file that cannot be read or written, for want of room say, costs the hits and is said in
    the log once a minute; no text fails for it.

    Args:
        folder: where the file is; made where it is not there.
        max_bytes: of the entries, about: to a page or two.
        encoder_id: vectors of other encoders are not found; they leave as theirs grow old.
        dim: length of the vectors.

    Attributes:
        hits, misses, evictions, failures: since this was made; evictions are this process's own.

    Raises:
        CacheError: the file cannot be opened, or is no cache.
    """

    def __init__(self, folder: Path, max_bytes: int, encoder_id: str, dim: int) -> None:
        self.max_bytes = max_bytes
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self.failures = 0
        self._salt = encoder_id.encode() + b"\0"
        self._bytes = 4 * dim
        self._warned = -_WARN_SECONDS
        slack = max(_SLACK, max_bytes // 4)
        #: Entries of a transaction at most: each may cost a copy of a page.
        self._step = max(1, slack // (4 * _PAGE))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / "data.mdb"
            # A larger one, of other settings, is made empty, not smaller.
            there = max(max_bytes, file.stat().st_size if file.is_file() else 0)
            self._file = lmdb.open(
                str(folder),
                map_size=there + slack,
                max_dbs=2,
                # A crash of the machine may cost the last transactions, and never the file.
                metasync=False,
                readahead=False,
            )
            try:
                _require_whole(self._file, file)
                # Places of processes killed while they read would keep old pages for good.
                self._file.reader_check()
                self._vectors, self._order = _tables(self._file)
            except TimeoutError:
                raise  # a thread of ours still waits in it
            except BaseException:
                self._file.close()
                raise
        except (OSError, lmdb.Error) as error:
            raise CacheError(f"the cache of vectors in {folder} {_advice(error)}") from error

    def __len__(self) -> int:
        with self._file.begin() as reading:
            return int(reading.stat(self._vectors)["entries"])

    @property
    def bytes_used(self) -> int:
        """Of the file's pages that hold entries."""
        with self._file.begin() as reading:
            return self._used(reading)

    def get_many(self, texts: Sequence[str]) -> list[NDArray[np.float32] | None]:
        """The vector of each text, ``(dim,) float32`` and read-only, or None."""
        found: list[NDArray[np.float32] | None] = []
        try:
            with self._file.begin(db=self._vectors) as reading:
                for text in texts:
                    value = reading.get(self._key(text))
                    found.append(
                        None
                        if value is None or len(value) != _SEQUENCE + self._bytes
                        else np.frombuffer(value, "<f4", offset=_SEQUENCE)
                    )
        except lmdb.Error as error:
            self._complain("read", error)
            found = [None] * len(texts)
        hits = sum(vector is not None for vector in found)
        self.hits += hits
        self.misses += len(found) - hits
        return found

    def put_many(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep n vectors, ``(n, dim) float32``; those that are there stay."""
        rows = np.ascontiguousarray(vectors, "<f4")
        # A quarter of the cache at a time: room is made between.
        step = min(self._step, max(1, self.max_bytes // (4 * (self._bytes + _ENTRY))))
        try:
            for start in range(0, len(texts), step):
                self._put(texts[start : start + step], rows[start : start + step])
        except lmdb.Error as error:
            self._complain("written", error)

    def close(self) -> None:
        """Close the file. May be called again."""
        self._file.close()

    def _put(self, texts: Sequence[str], rows: NDArray[np.float32]) -> None:
        """In one transaction, once there is room."""
        while self._lacks_room(len(texts)):
            self._evict()
        with self._file.begin(write=True) as writing:
            sequence = self._last(writing)
            for text, row in zip(texts, rows, strict=True):
                sequence += 1
                place, key = sequence.to_bytes(_SEQUENCE, "big"), self._key(text)
                if writing.put(key, place + row.tobytes(), db=self._vectors, overwrite=False):
                    writing.put(place, key, db=self._order, append=True)

    def _lacks_room(self, coming: int) -> bool:
        with self._file.begin() as reading:
            there = int(reading.stat(self._order)["entries"])
            used = self._used(reading)
        return bool(there) and used * (1 + coming / there) > self.max_bytes

    def _evict(self) -> None:
        """Delete some of the oldest.

        A few in a transaction: it copies each page that it changes, and their keys lie anywhere.
        """
        with self._file.begin(write=True) as writing:
            there = int(writing.stat(self._order)["entries"])
            wanted = gone = min(there, self._step, max(_DELETE_AT_LEAST, there // _DELETE_PART))
            with writing.cursor(self._order) as oldest:
                oldest.first()
                while wanted and oldest.key():
                    writing.delete(oldest.value(), db=self._vectors)
                    oldest.delete()  # and the next one is the oldest
                    wanted -= 1
        self.evictions += gone - wanted

    def _used(self, transaction: lmdb.Transaction) -> int:
        total = 0
        for database in (self._vectors, self._order):
            pages = transaction.stat(database)
            count = pages["branch_pages"] + pages["leaf_pages"] + pages["overflow_pages"]
            total += int(count * pages["psize"])
        return total

    def _last(self, transaction: lmdb.Transaction) -> int:
        with transaction.cursor(self._order) as newest:
            return int.from_bytes(newest.key(), "big") if newest.last() else 0

    def _key(self, text: str) -> bytes:
        said = self._salt + text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(said, digest_size=16).digest()

    def _complain(self, done: str, error: Exception) -> None:
        self.failures += 1
        if time.monotonic() - self._warned >= _WARN_SECONDS:
            self._warned = time.monotonic()
            logger.warning(
                "the cache of vectors could not be %s (%s); going on without it, and trying again",
                done, error,
            )  # fmt: skip


def _require_whole(opened: lmdb.Environment, file: Path) -> None:
    """Refuse a file that is cut short: to read beyond its end would kill the process (SIGBUS)."""
    pages = opened.info()["last_pgno"] + 1
    if file.stat().st_size < pages * opened.stat()["psize"]:
        raise lmdb.CorruptedError(f"{file.name} is cut short")


def _tables(opened: lmdb.Environment) -> list[Any]:
    """The vectors, and their keys in the order they came.

    To open them takes the writers' lock, which knows no time limit, and one of the other processes
    may stand still with it.
    """
    made: Future[list[Any]] = Future()

    def make() -> None:
        try:
            # In a transaction of our own: the one that open_db begins holds up the interpreter.
            with opened.begin(write=True) as writing:
                tables = [opened.open_db(name, txn=writing) for name in _NAMES]
            made.set_result(tables)
        except lmdb.Error as error:
            made.set_exception(error)

    threading.Thread(target=make, name="encoder-disk-open", daemon=True).start()
    return made.result(_OPEN_SECONDS)


def _advice(error: Exception) -> str:
    """What is wrong, and what to do."""
    if isinstance(error, TimeoutError):
        return (
            f"is held by another process, which has been writing for {_OPEN_SECONDS:g} s and may "
            "stand still: end that process, or name another folder (encoder.disk_cache)"
        )
    if isinstance(error, lmdb.Error) and "Resource temporarily unavailable" in str(error):
        return (
            "is in use by a process with the same id, in another container: give each container a "
            "folder of its own (encoder.disk_cache), or have them share their process ids"
        )
    return (
        f"cannot be opened ({error}): delete the folder, while no process uses it, if it is "
        "damaged, or name another one (encoder.disk_cache)"
    )
