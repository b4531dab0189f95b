"""What retrieval holds in one file, so that a service that starts need not read all topics again.

    magic | frame, frame, … each: length, CRC-32, MessagePack

The first frame is the manifest, the last says how much came before it: a file that ends earlier is
torn. A snapshot is a view: what cannot be used is refused, and the topics are read instead.
"""

from __future__ import annotations

import struct
import sys
import zlib
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from store.atomic_file import replacing
from store.errors import SnapshotError
from store.view_image import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["VIEW_FORMAT", "Manifest", "read_manifest", "read_parts", "save_parts"]

#: Goes up when the file's layout changes; other formats are refused.
VIEW_FORMAT = 3

_MAGIC = b"TIDEVIEW"
_FRAME = struct.Struct("<II")


class Manifest(msgspec.Struct, kw_only=True, frozen=True, tag="manifest"):
    """What a snapshot is of.

    Attributes:
        encoder, dim: of the vectors.
        kinds: of the indexes, by name.
        counts: of profiles and items, when it was begun.
        created_ms: when it was begun, ms since the epoch.
        topic_ids: the brokers' ids of the topics read, by name.
        positions: by topic and partition, from where on to read the topic.
        applied: highest applied source offset, by source topic and partition.
    """

    format: int = VIEW_FORMAT
    byte_order: str = sys.byteorder
    encoder: str
    dim: int
    kinds: dict[str, str]
    counts: dict[str, int]
    created_ms: int
    topic_ids: dict[str, str]
    positions: dict[str, dict[int, int]]
    applied: dict[str, dict[int, int]]


class _End(msgspec.Struct, array_like=True, frozen=True, tag="end"):
    frames: int


_encoder = msgspec.msgpack.Encoder()
_manifests = msgspec.msgpack.Decoder(Manifest)
_frames = msgspec.msgpack.Decoder(Part | _End)


def save_parts(path: Path, manifest: Manifest, parts: Iterable[Part]) -> None:
    """Write a snapshot in place of the file at ``path``, which is complete or not there.

    Raises:
        OSError: it cannot be written; the file of before stays.
    """
    with replacing(path) as file:
        file.write(_MAGIC)
        _write(file, manifest)
        frames = 1
        for part in parts:
            _write(file, part)
            frames += 1
        _write(file, _End(frames))


def _write(file: BinaryIO, frame: Manifest | Part | _End) -> None:
    payload = _encoder.encode(frame)
    file.write(_FRAME.pack(len(payload), zlib.crc32(payload)))
    file.write(payload)


def read_manifest(path: Path) -> Manifest:
    """The manifest alone.

    Raises:
        SnapshotError: there is none that can be read.
    """
    try:
        with path.open("rb") as file:
            return _manifest_of(path, file)
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read: {error}") from error


def read_parts(path: Path) -> Iterator[Part]:
    """Everything after the manifest.

    Raises:
        SnapshotError: the file is torn or damaged; what came before it may be put away.
    """
    try:
        with path.open("rb") as file:
            _manifest_of(path, file)
            read = 1
            while True:
                found = _decoded(path, _next(path, file))
                if isinstance(found, _End):
                    if found.frames != read or file.read(1):
                        raise SnapshotError(f"{path} is damaged: it lacks parts, or goes on")
                    return
                yield found
                read += 1
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read: {error}") from error


def _manifest_of(path: Path, file: BinaryIO) -> Manifest:
    magic = file.read(len(_MAGIC))
    if magic != _MAGIC:
        raise SnapshotError(f"{path} is no snapshot: it begins with {magic!r}, not {_MAGIC!r}")
    payload = _next(path, file)
    try:
        # The number alone first: another format may have another manifest.
        found = msgspec.msgpack.decode(payload)
        if found.get("format") != VIEW_FORMAT:
            raise SnapshotError(
                f"{path} is of format {found.get('format')}; this program reads {VIEW_FORMAT}"
            )
        manifest = _manifests.decode(payload)
    except (msgspec.MsgspecError, AttributeError) as error:
        raise SnapshotError(f"{path} has a manifest that cannot be read: {error}") from error
    if manifest.byte_order != sys.byteorder:
        raise SnapshotError(f"{path} was written by a machine of another byte order")
    return manifest


def _next(path: Path, file: BinaryIO) -> bytes:
    """The next frame's payload; nothing is believed before its checksum is right."""
    head = file.read(_FRAME.size)
    if len(head) < _FRAME.size:
        raise SnapshotError(f"{path} is torn: it ends after {file.tell():,} bytes")
    length, crc = _FRAME.unpack(head)
    payload = file.read(length)
    if len(payload) < length or zlib.crc32(payload) != crc:
        raise SnapshotError(
            f"{path} is torn or damaged: the checksum of what ends at byte {file.tell():,} is not "
            "that of its content"
        )
    return payload


def _decoded(path: Path, payload: bytes) -> Part | _End:
    try:
        found: Part | _End = _frames.decode(payload)
    except msgspec.MsgspecError as error:
        raise SnapshotError(f"{path} has a part that cannot be read: {error}") from error
    return found
