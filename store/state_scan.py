"""Reads what retrieval needs of profiles out of their MessagePack in one compiled pass.

A busy user's profile comes many times a second and holds hundreds of ids. What is needed at once
of it goes into columns; its lists are only found, and read when someone asks. Whatever is not plain
(another encoder, a field of another type, bytes too many …) is marked, and left to the decoder in
`store.profile`, which has the words for what is wrong: the scan may refuse too much, and must
never read a field that retrieval needs where the decoder would refuse it or read it otherwise; a
property test holds that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.compiled import compiled, part
from store.interner import hash_bytes
from store.msgpack_bytes import (
    find_name,
    is_utf8,
    read_array_head,
    read_bytes,
    read_integer,
    read_map_head,
    read_number,
    read_string,
    same_bytes,
    skip_any,
)
from store.profile import MOST_STRENGTH, PROFILE_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["StateScan", "norms_of", "scan_states", "unit_rows", "warm_up"]

_ENCODER, _DIM, _VECTOR, _COUNT, _LAST_TS, _PARTITION, _APPLIED = range(7)
_FRESH, _CONTRIBUTIONS, _SEEN, _VERSION = range(7, 11)
_NAMES = (
    b"encoder", b"dim", b"vector", b"count", b"last_ts", b"partition", b"applied",
    b"fresh_from", b"contributions", b"seen", b"v",
)  # fmt: skip
_FIELD_BYTES = np.frombuffer(b"".join(_NAMES), np.uint8)
_FIELD_ENDS = np.cumsum([0, *map(len, _NAMES)])
_NEEDED = (1 << (_APPLIED + 1)) - 1
#: Topics that feed a profile; more are left to the decoder.
_MOST_TOPICS = 15
#: Of offsets: their sum is a version, which must not wrap around.
_MOST_OFFSET = 1 << 56
_NULL = 0xC0


class StateScan(NamedTuple):
    """Columns of n values. Where ``plain`` is False the others say nothing.

    Attributes:
        plain: whether the value was read.
        counts, last_ts, partitions, fresh_from: as in `ProfileState`.
        versions: `store.profile.version_of` what was applied.
        topics: a hash of the source topic's name; 0 where there is not exactly one.
        spans: ``(n, 6)`` where ``applied``, ``contributions`` and ``seen`` start and end in the
            value; both 0 where the field is absent.
    """

    plain: NDArray[np.bool_]
    counts: NDArray[np.int64]
    last_ts: NDArray[np.int64]
    partitions: NDArray[np.int64]
    fresh_from: NDArray[np.int64]
    versions: NDArray[np.int64]
    topics: NDArray[np.uint64]
    spans: NDArray[np.int64]


def scan_states(
    values: Sequence[bytes], encoder_id: bytes, dim: int
) -> tuple[StateScan, NDArray[np.float32]]:
    """Read what is plain.

    Args:
        values: of records of ``profiles``; an empty one is not plain.
        encoder_id: whose vectors are wanted, UTF-8.
        dim: their length.

    Returns:
        The columns, and the vectors, ``(n, dim) float32``: not checked, zeros where not plain.
    """
    n = len(values)
    ends = np.zeros(n + 1, np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, n), out=ends[1:])
    scan = StateScan(
        plain=np.zeros(n, np.bool_),
        counts=np.zeros(n, np.int64),
        last_ts=np.zeros(n, np.int64),
        partitions=np.zeros(n, np.int64),
        fresh_from=np.zeros(n, np.int64),
        versions=np.zeros(n, np.int64),
        topics=np.zeros(n, np.uint64),
        spans=np.zeros((n, 6), np.int64),
    )
    vectors = np.zeros((n, dim), np.float32)
    _read_states(
        np.frombuffer(b"".join(values), np.uint8), ends, np.frombuffer(encoder_id, np.uint8),
        scan, vectors.view(np.uint8), _FIELD_BYTES, _FIELD_ENDS, np.zeros(1, np.uint64),
    )  # fmt: skip
    return scan, vectors


def warm_up() -> None:
    """Load or compile the loops."""
    _, vectors = scan_states([b"\x80"], b"a", 1)
    unit_rows(vectors, np.zeros(1, np.int64), norms_of(vectors))


def norms_of(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Euclidean norms of the rows, ``(n,)``; not finite where a row is not.

    In float64, where squares of finite float32 cannot overflow.
    """
    norms = np.empty(len(matrix))
    _norms(matrix, norms)
    return norms


def unit_rows(
    matrix: NDArray[np.float32], rows: NDArray[np.int64], norms: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Some rows, each divided by its norm (which is not 0): ``(len(rows), dim) float32``."""
    units = np.empty((len(rows), matrix.shape[1]), np.float32)
    _unit_rows(matrix, rows, norms, units)
    return units


@compiled
def _norms(matrix: NDArray[np.float32], norms: NDArray[np.float64]) -> None:
    for i in range(matrix.shape[0]):
        # Four sums: one alone would wait for itself at every step.
        a = b = c = d = 0.0
        whole = matrix.shape[1] - matrix.shape[1] % 4
        for j in range(0, whole, 4):
            a += np.float64(matrix[i, j]) ** 2
            b += np.float64(matrix[i, j + 1]) ** 2
            c += np.float64(matrix[i, j + 2]) ** 2
            d += np.float64(matrix[i, j + 3]) ** 2
        for j in range(whole, matrix.shape[1]):
            a += np.float64(matrix[i, j]) ** 2
        norms[i] = np.sqrt((a + b) + (c + d))


@compiled
def _unit_rows(
    matrix: NDArray[np.float32],
    rows: NDArray[np.int64],
    norms: NDArray[np.float64],
    units: NDArray[np.float32],
) -> None:
    for i in range(rows.shape[0]):
        norm = norms[rows[i]]
        for j in range(matrix.shape[1]):
            units[i, j] = matrix[rows[i], j] / norm


@compiled
def _read_states(
    buffer: NDArray[np.uint8],
    ends: NDArray[np.int64],
    encoder: NDArray[np.uint8],
    scan: StateScan,
    vectors: NDArray[np.uint8],
    names: NDArray[np.uint8],
    name_ends: NDArray[np.int64],
    bits: NDArray[np.uint64],  # one: to read floats, whose bytes it holds as a number
) -> None:
    for i in range(len(scan.plain)):
        begin, end = ends[i], ends[i + 1]
        fields, at = read_map_head(buffer, begin, end)
        met = 0
        vector = -1
        for _ in range(fields):
            start, stop = read_string(buffer, at, end)
            if start < 0:
                at = -1
                break
            field = find_name(buffer, start, stop, names, name_ends)
            at = stop
            if field < 0:  # not needed here, or a newer worker's
                at = skip_any(buffer, at, end)
            elif met & (1 << field):
                at = -1
            elif field == _ENCODER:
                start, stop = read_string(buffer, at, end)
                at = stop
                if start < 0 or not same_bytes(buffer, start, stop, encoder, 0, len(encoder)):
                    at = -1
            elif field == _VECTOR:
                vector, at = read_bytes(buffer, at, end)
                if at - vector != vectors.shape[1]:
                    at = -1
            elif field == _APPLIED:
                at = _applied(buffer, at, end, begin, scan, i)
            elif field in (_CONTRIBUTIONS, _SEEN):
                place = 2 if field == _CONTRIBUTIONS else 4
                scan.spans[i, place] = at - begin
                if field == _SEEN:
                    at = _skip_strings(buffer, at, end)
                else:
                    at = _skip_contributions(buffer, at, end, bits)
                scan.spans[i, place + 1] = at - begin
            else:
                number, at = read_integer(buffer, at, end)
                if not _fits(scan, i, field, number, vectors.shape[1] // 4):
                    at = -1
            if at < 0:
                break
            if field >= 0:
                met |= 1 << field
        if at == end and met & _NEEDED == _NEEDED:
            for j in range(vectors.shape[1]):
                vectors[i, j] = buffer[vector + j]
            scan.plain[i] = True


@part
def _skip_strings(buffer: NDArray[np.uint8], at: int, end: int) -> int:
    """What follows an array of strings, or -1."""
    count, at = read_array_head(buffer, at, end)
    for _ in range(count):
        start, at = read_string(buffer, at, end)
        if start < 0 or not is_utf8(buffer, start, at):
            return -1
    return at


@part
def _skip_contributions(
    buffer: NDArray[np.uint8], at: int, end: int, bits: NDArray[np.uint64]
) -> int:
    """What follows an array of `Contribution`, or -1."""
    count, at = read_array_head(buffer, at, end)
    for _ in range(count):
        fields, at = read_array_head(buffer, at, end)
        if fields != 4:  # action, item, k, strength
            return -1
        for field in range(2):
            if field == 1 and at < end and buffer[at] == _NULL:
                at += 1
                continue
            start, at = read_string(buffer, at, end)
            if start < 0 or not is_utf8(buffer, start, at):
                return -1
        _, at = read_number(buffer, at, end, bits)  # k
        if at < 0:
            return -1
        strength, at = read_number(buffer, at, end, bits)
        # what is none is the decoder's to refuse
        if not -MOST_STRENGTH <= strength <= MOST_STRENGTH:
            return -1
        if at < 0:
            return -1
    return at


@part
def _fits(scan: StateScan, i: int, field: int, number: int, dim: int) -> bool:
    """Keep a number; whether it is one that is expected."""
    if field == _DIM:
        return number == dim
    if field == _VERSION:
        return 1 <= number <= PROFILE_VERSION
    if field == _COUNT:
        scan.counts[i] = number
    elif field == _LAST_TS:
        scan.last_ts[i] = number
    elif field == _PARTITION:
        scan.partitions[i] = number
    else:
        scan.fresh_from[i] = number
    return True


@part
def _applied(
    buffer: NDArray[np.uint8], at: int, end: int, begin: int, scan: StateScan, i: int
) -> int:
    """Read the map of topics to offsets; what follows it, or -1."""
    scan.spans[i, 0] = at - begin
    topics, at = read_map_head(buffer, at, end)
    if not 0 <= topics <= _MOST_TOPICS:
        return -1
    version, name, first = np.int64(0), np.uint64(0), at
    for _ in range(topics):
        start, stop = read_string(buffer, at, end)
        if start < 0 or not is_utf8(buffer, start, stop):
            return -1
        other = first
        while other < at:
            # A topic that is named twice counts once, for the decoder.
            other_start, other_stop = read_string(buffer, other, end)
            if same_bytes(buffer, start, stop, buffer, other_start, other_stop):
                return -1
            _, other = read_integer(buffer, other_stop, end)
        number, at = read_integer(buffer, stop, end)
        if at < 0 or not 0 <= number <= _MOST_OFFSET:
            return -1
        version += number + 1
        name = hash_bytes(buffer, start, stop)
    scan.versions[i] = version
    scan.topics[i] = name if topics == 1 else np.uint64(0)
    scan.spans[i, 1] = at - begin
    return at
