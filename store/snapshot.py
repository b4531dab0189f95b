"""A table in one file, so that a worker that starts need not read all of ``profiles`` again.

    magic, length of the header | header (MessagePack) | arrays, raw | CRC-32 of all before it

Arrays begin at multiples of 8 bytes, in the byte order that the header names. A snapshot is a view:
what cannot be used is refused, and the topic is read instead.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from store.atomic_file import replacing
from store.compiled import compiled
from store.errors import SnapshotError
from store.image import Image
from store.table import ProfileTable, TableCopy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from store.interner import Interner
    from store.robustness import Robustness
    from store.table import Identity, Memory, Vocabulary

__all__ = ["SNAPSHOT_FORMAT", "arrays_of", "load_table", "save_table"]

#: Goes up when the file's layout changes; other formats are refused.
SNAPSHOT_FORMAT = 2

_MAGIC = b"TIDEMARK"
_START = struct.Struct("<8sI")
_CRC = struct.Struct("<I")


class _Array(msgspec.Struct, array_like=True, frozen=True):
    name: str
    dtype: str
    shape: tuple[int, ...]


class _Header(msgspec.Struct, kw_only=True, frozen=True):
    format: int
    encoder: str
    dim: int
    policy: str
    partition: int
    topics: list[str]
    meta: dict[str, Any]
    arrays: list[_Array]


_header_encoder = msgspec.msgpack.Encoder()


def save_table(table: ProfileTable | TableCopy, path: Path, meta: Mapping[str, Any]) -> None:
    """Write a table, or a copy of one, in place of the file at ``path``.

    The file is complete or not there: it is written beside it, synced and renamed. Of a table that
    goes on in another thread, save a `ProfileTable.copy`.

    Args:
        table: what to write.
        path: of the file; its folder is there.
        meta: what else to know of it, of MessagePack's types: offsets, times (ms).

    Raises:
        OSError: it cannot be written (no space, no permission); the file of before stays.
    """
    copy = table.copy() if isinstance(table, ProfileTable) else table
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays_of(copy)}
    header = _header_encoder.encode(
        _Header(
            format=SNAPSHOT_FORMAT,
            encoder=copy.identity.encoder,
            dim=copy.identity.dim,
            policy=copy.identity.policy.identity,
            partition=copy.partition,
            topics=list(copy.topics),
            meta=dict(meta),
            arrays=[_Array(name, one.dtype.str, one.shape) for name, one in arrays.items()],
        )
    )
    pieces: list[bytes | memoryview] = [_START.pack(_MAGIC, len(header)), header]
    pieces.append(_padding(_START.size + len(header)))
    for one in arrays.values():
        pieces += [one.reshape(-1).view(np.uint8).data, _padding(one.nbytes)]
    with replacing(path) as file:
        crc = 0
        for piece in pieces:
            file.write(piece)
            crc = zlib.crc32(piece, crc)
        file.write(_CRC.pack(crc))


def load_table(
    path: Path,
    partition: int,
    identity: Identity,
    memory: Memory,
    vocabulary: Vocabulary,
    robustness: Robustness | None = None,
) -> tuple[ProfileTable, dict[str, Any]]:
    """Read a table back.

    Args:
        path: of the file.
        partition: that it must be of.
        identity: that its profiles must be of.
        memory: of the table; of longer windows in the file the latest entries are kept.
        vocabulary: the worker's, into whose codes the file's are translated.
        robustness: of the table.

    Returns:
        The table and the ``meta`` it was saved with.

    Raises:
        SnapshotError: there is no such file, it is torn or damaged, or of another encoder, policy,
            partition or format.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read: {error}") from error
    header, start = _read_header(path, data)
    _check(path, header, partition, identity)
    arrays = _read_arrays(path, data, header, start)
    table = ProfileTable(partition, identity, memory, vocabulary, robustness)
    keys, actions, items = (
        _codes(interner, arrays.pop(f"{name}.arena"), arrays.pop(f"{name}.ends"))
        for name, interner in (
            ("keys", table.keys), ("actions", vocabulary.actions), ("items", vocabulary.items)
        )
    )  # fmt: skip
    # The file's codes are positions in its own lists; item -1 stays -1.
    arrays["actions"] = actions[arrays["actions"]]
    items = np.append(items, np.int32(-1))
    arrays["items"], arrays["seen"] = items[arrays["items"]], items[arrays["seen"]]
    table.put(keys, header.topics, Image(**arrays))
    return table, header.meta


def _padding(length: int) -> bytes:
    return bytes(-length % 8)


def _read_header(path: Path, data: NDArray[np.uint8]) -> tuple[_Header, int]:
    """The header, and where the arrays begin. Nothing is believed before the checksum is right."""
    if len(data) < _START.size + _CRC.size:
        raise SnapshotError(f"{path} is torn: it has {len(data)} bytes, not even a header")
    view = data.data
    magic, length = _START.unpack(view[: _START.size])
    if magic != _MAGIC:
        raise SnapshotError(f"{path} is no snapshot: it begins with {magic!r}, not {_MAGIC!r}")
    (crc,) = _CRC.unpack(view[-_CRC.size :])
    if zlib.crc32(view[: -_CRC.size]) != crc:
        raise SnapshotError(f"{path} is torn or damaged: its checksum is not that of its content")
    end = _START.size + length
    try:
        # The number alone first: another format may have another header.
        found = msgspec.msgpack.decode(view[_START.size : end])
        if found.get("format") != SNAPSHOT_FORMAT:
            raise SnapshotError(
                f"{path} is of format {found.get('format')}; this program reads {SNAPSHOT_FORMAT}"
            )
        header = msgspec.convert(found, _Header, strict=False)
    except (msgspec.MsgspecError, AttributeError) as error:
        raise SnapshotError(f"{path} has a header that cannot be read: {error}") from error
    return header, end + len(_padding(end))


def _check(path: Path, header: _Header, partition: int, identity: Identity) -> None:
    for name, found, expected in (
        ("encoder", header.encoder, identity.encoder),
        ("dim", header.dim, identity.dim),
        ("policy", header.policy, identity.policy.identity),
        ("partition", header.partition, partition),
    ):
        if found != expected:
            raise SnapshotError(f"{path} is of {name} {found!r}; expected {expected!r}")


def _read_arrays(
    path: Path, data: NDArray[np.uint8], header: _Header, start: int
) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for one in header.arrays:
        dtype = np.dtype(one.dtype)
        if not dtype.isnative:
            raise SnapshotError(f"{path} was written by a machine of another byte order")
        length = dtype.itemsize * math.prod(one.shape)
        arrays[one.name] = data[start : start + length].view(dtype).reshape(one.shape)
        start += length + len(_padding(length))
    return arrays


def _codes(
    interner: Interner, arena: NDArray[np.uint8], ends: NDArray[np.int64]
) -> NDArray[np.int32]:
    return interner.codes(arena, ends[:-1], ends[1:], insert=True)


def arrays_of(copy: TableCopy) -> Iterator[tuple[str, NDArray[Any]]]:
    """The image and the strings that it names, in codes of these strings alone."""
    image = copy.image
    used_actions, actions = np.unique(image.actions, return_inverse=True)
    used_items, seen_or_items = np.unique(
        np.concatenate([image.items[image.items >= 0], image.seen]), return_inverse=True
    )
    named = int((image.items >= 0).sum())
    items = np.full(len(image.items), -1, np.int32)
    items[image.items >= 0] = seen_or_items[:named]
    image = image._replace(
        actions=actions.astype(np.int32), items=items, seen=seen_or_items[named:].astype(np.int32)
    )
    yield from image._asdict().items()
    for name, strings, used in (
        ("keys", copy.keys, copy.users),
        ("actions", copy.actions, used_actions),
        ("items", copy.items, used_items),
    ):
        lengths = strings.ends[used + 1] - strings.ends[used]
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
        arena = np.empty(ends[-1], np.uint8)
        _gather(strings.arena, strings.ends[used], ends, arena)
        yield f"{name}.arena", arena
        yield f"{name}.ends", ends


@compiled
def _gather(
    arena: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    for i in range(starts.shape[0]):
        for j in range(ends[i + 1] - ends[i]):
            out[ends[i] + j] = arena[starts[i] + j]
