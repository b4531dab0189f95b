"""Profiles to the MessagePack that `store.profile` reads, straight from the columns.

The fields, their names, order and what is left out are those that msgspec writes for a
`ProfileState`; k and strength of a contribution are float32, as they are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from store.compiled import compiled, part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from store.blocks import Windows
    from store.columns import Columns, Rows

__all__ = ["Pieces", "Strings", "encode_users", "make_pieces", "put_bytes"]

# Positions in `Pieces`; after them the topics' names.
_HEAD, _COUNT, _LAST_TS, _PARTITION, _MASS, _SUM_K, _SUM_K2, _FRESH, _FORGOTTEN = range(9)
_CONTRIBUTIONS, _SEEN, _EVENTS, _PACED, _COS_MEAN, _COS_VAR, _FIRST_TOPIC = range(9, 16)
_FIELDS = (
    "mass", "sum_k", "sum_k2", "fresh_from", "forgotten_ts", "contributions", "seen", "event_ids",
    "paced", "cos_mean", "cos_var",
)  # fmt: skip
_REQUIRED = 8

#: Most bytes of a number or of the head of a string, an array or a map.
_HEADER = 9


class Strings(NamedTuple):
    """Byte strings: string c is ``arena[ends[c]:ends[c + 1]]`` (see `Interner`)."""

    arena: NDArray[np.uint8]
    ends: NDArray[np.int64]


class Pieces(NamedTuple):
    """What is the same in every profile of a table, encoded: keys, identity, names of topics."""

    arena: NDArray[np.uint8]
    ends: NDArray[np.int64]


def make_pieces(
    encoder: str, policy: str, dim: int, partition: int, topics: Sequence[str]
) -> Pieces:
    """The pieces of a table's profiles."""
    pack = msgspec.msgpack.encode
    # A bin's head is what stands before its bytes.
    vector = pack(bytes(4 * dim))[: -4 * dim]
    head = [pack(one) for one in ("encoder", encoder, "policy", policy, "dim", dim, "vector")]
    pieces = [
        b"".join([*head, vector]),
        pack("count"),
        pack("last_ts"),
        pack("partition") + pack(partition) + pack("applied"),
        *(pack(name) for name in _FIELDS),
        *(pack(topic) for topic in topics),
    ]
    return Pieces(
        np.frombuffer(b"".join(pieces), np.uint8).copy(),
        np.cumsum([0, *(len(piece) for piece in pieces)], dtype=np.int64),
    )


@part
def put_bytes(
    out: NDArray[np.uint8], at: int, source: NDArray[np.uint8], start: int, end: int
) -> int:
    """Copy ``source[start:end]`` to ``out[at:]``; where it ends there."""
    # Unsigned, for there is no index from the end to consider then: ten times as fast.
    to, first = np.uint64(at), np.uint64(start)
    for i in range(np.uint64(end - start)):
        out[to + i] = source[first + i]
    return at + end - start


@part
def _put_bits(out: NDArray[np.uint8], at: int, bits: int, width: int) -> int:
    """The lowest ``width`` bytes, the highest first."""
    to, left, shift = np.uint64(at), np.uint64(bits), np.uint64(8 * width)
    for i in range(np.uint64(width)):
        shift -= np.uint64(8)
        out[to + i] = (left >> shift) & np.uint64(0xFF)
    return at + width


@part
def _put_head(out: NDArray[np.uint8], at: int, code: int, bits: int, width: int) -> int:
    out[at] = code
    return _put_bits(out, at + 1, bits, width)


@part
def _put_unsigned(out: NDArray[np.uint8], at: int, value: int) -> int:
    value = np.uint64(value)
    if value < np.uint64(0x80):
        out[at] = value
        return at + 1
    if value <= np.uint64(0xFF):
        return _put_head(out, at, 0xCC, value, 1)
    if value <= np.uint64(0xFFFF):
        return _put_head(out, at, 0xCD, value, 2)
    if value <= np.uint64(0xFFFFFFFF):
        return _put_head(out, at, 0xCE, value, 4)
    return _put_head(out, at, 0xCF, value, 8)


@part
def _put_int(out: NDArray[np.uint8], at: int, value: int) -> int:
    if value < 0:
        return _put_head(out, at, 0xD3, value, 8)
    return _put_unsigned(out, at, value)


@part
def _put_string(out: NDArray[np.uint8], at: int, strings: Strings, code: int) -> int:
    start, end = strings.ends[code], strings.ends[code + 1]
    length = end - start
    if length < 32:
        out[at] = 0xA0 | length
        at += 1
    elif length <= 0xFF:
        at = _put_head(out, at, 0xD9, length, 1)
    elif length <= 0xFFFF:
        at = _put_head(out, at, 0xDA, length, 2)
    else:
        at = _put_head(out, at, 0xDB, length, 4)
    return put_bytes(out, at, strings.arena, start, end)


@part
def _put_array_head(out: NDArray[np.uint8], at: int, length: int) -> int:
    if length < 16:
        out[at] = 0x90 | length
        return at + 1
    if length <= 0xFFFF:
        return _put_head(out, at, 0xDC, length, 2)
    return _put_head(out, at, 0xDD, length, 4)


@part
def _put_map_head(out: NDArray[np.uint8], at: int, length: int) -> int:
    if length < 16:
        out[at] = 0x80 | length
        return at + 1
    return _put_head(out, at, 0xDE, length, 2)


@part
def _put_piece(out: NDArray[np.uint8], at: int, pieces: Pieces, piece: int) -> int:
    return put_bytes(out, at, pieces.arena, pieces.ends[piece], pieces.ends[piece + 1])


@part
def _string_room(strings: Strings, code: int) -> int:
    return _HEADER + strings.ends[code + 1] - strings.ends[code]


@part
def _room_needed(
    columns: Columns, row: int, user: int, pieces: Pieces, keys: Strings,
    actions: Strings, items: Strings,
) -> int:  # fmt: skip
    """At least the bytes that a user's key and value take."""
    rows, seen = columns.rows, columns.seen
    # All pieces, all numbers of fixed count, all offsets.
    need = pieces.arena.shape[0] + 20 * _HEADER + _string_room(keys, user)
    need += columns.users.next_offset.shape[1] * _HEADER
    if row > 0:
        need += 4 * rows.vector.shape[1] + np.int64(columns.events.length[row]) * _HEADER
        first = np.int64(seen.at[row]) * 4
        for i in range(first, first + seen.length[row]):
            need += _string_room(items, seen.data[i])
        for i in range(min(rows.written[row], rows.actions.shape[1])):
            need += 3 * _HEADER + _string_room(actions, rows.actions[row, i])
            if rows.items[row, i] >= 0:
                need += _string_room(items, rows.items[row, i])
    return need


@part
def _put_contributions(
    out: NDArray[np.uint8], at: int, rows: Rows, row: int, actions: Strings, items: Strings,
    ks: NDArray[np.uint32], strengths: NDArray[np.uint32],
) -> int:  # fmt: skip
    limit = rows.actions.shape[1]
    length = min(rows.written[row], limit)
    at = _put_array_head(out, at, length)
    for i in range(rows.written[row] - length, rows.written[row]):
        j = i % limit
        at = _put_array_head(out, at, 4)
        at = _put_string(out, at, actions, rows.actions[row, j])
        if rows.items[row, j] < 0:
            out[at] = 0xC0
            at += 1
        else:
            at = _put_string(out, at, items, rows.items[row, j])
        at = _put_head(out, at, 0xCA, ks[row, j], 4)
        at = _put_head(out, at, 0xCA, strengths[row, j], 4)
    return at


@part
def _put_seen(out: NDArray[np.uint8], at: int, seen: Windows, row: int, items: Strings) -> int:
    at = _put_array_head(out, at, seen.length[row])
    first = np.int64(seen.at[row]) * 4
    for i in range(first, first + seen.length[row]):
        at = _put_string(out, at, items, seen.data[i])
    return at


@part
def _put_events(out: NDArray[np.uint8], at: int, events: Windows, row: int) -> int:
    at = _put_array_head(out, at, events.length[row])
    first = np.int64(events.at[row]) * 4
    for i in range(first, first + events.length[row]):
        at = _put_unsigned(out, at, events.data[i])
    return at


@part
def _put_applied(
    out: NDArray[np.uint8], at: int, next_offset: NDArray[np.int64], user: int, pieces: Pieces
) -> int:
    topics = 0
    for topic in range(next_offset.shape[1]):
        if next_offset[user, topic] > 0:
            topics += 1
    at = _put_map_head(out, at, topics)
    for topic in range(next_offset.shape[1]):
        if next_offset[user, topic] > 0:
            at = _put_piece(out, at, pieces, _FIRST_TOPIC + topic)
            at = _put_int(out, at, next_offset[user, topic] - 1)
    return at


@part
def _put_profile(
    out: NDArray[np.uint8], at: int, columns: Columns, user: int, row: int, pieces: Pieces,
    actions: Strings, items: Strings,
) -> int:  # fmt: skip
    rows = columns.rows
    fields = _REQUIRED
    at_map = at
    at += 3
    at = _put_piece(out, at, pieces, _HEAD)
    vector = rows.vector[row].view(np.uint8)
    at = put_bytes(out, at, vector, 0, vector.shape[0])
    at = _put_int(out, _put_piece(out, at, pieces, _COUNT), rows.counts[row])
    at = _put_int(out, _put_piece(out, at, pieces, _LAST_TS), rows.last_ts[row])
    at = _put_piece(out, at, pieces, _PARTITION)
    at = _put_applied(out, at, columns.users.next_offset, user, pieces)
    for piece, column in ((_MASS, rows.mass), (_SUM_K, rows.sum_k), (_SUM_K2, rows.sum_k2)):
        if column[row] != 0.0:
            bits = column.view(np.uint64)[row]
            at = _put_head(out, _put_piece(out, at, pieces, piece), 0xCB, bits, 8)
            fields += 1
    if rows.fresh_from[row] != 0:
        at = _put_int(out, _put_piece(out, at, pieces, _FRESH), rows.fresh_from[row])
        fields += 1
    if columns.users.forgotten_ts[user] != 0:
        at = _put_piece(out, at, pieces, _FORGOTTEN)
        at = _put_int(out, at, columns.users.forgotten_ts[user])
        fields += 1
    if rows.written[row] > 0:
        at = _put_piece(out, at, pieces, _CONTRIBUTIONS)
        ks, strengths = rows.ks.view(np.uint32), rows.strengths.view(np.uint32)
        at = _put_contributions(out, at, rows, row, actions, items, ks, strengths)
        fields += 1
    if columns.seen.length[row] > 0:
        at = _put_seen(out, _put_piece(out, at, pieces, _SEEN), columns.seen, row, items)
        fields += 1
    if columns.events.length[row] > 0:
        at = _put_events(out, _put_piece(out, at, pieces, _EVENTS), columns.events, row)
        fields += 1
    for piece, column in (
        (_PACED, rows.paced), (_COS_MEAN, rows.cos_mean), (_COS_VAR, rows.cos_var),
    ):  # fmt: skip
        if column[row] != 0.0:
            bits = column.view(np.uint64)[row]
            at = _put_head(out, _put_piece(out, at, pieces, piece), 0xCB, bits, 8)
            fields += 1
    _put_head(out, at_map, 0xDE, fields, 2)
    return at


@compiled
def encode_users(
    columns: Columns,
    users: NDArray[np.int32],
    begin: int,
    pieces: Pieces,
    keys: Strings,
    actions: Strings,
    items: Strings,
    out: NDArray[np.uint8],
    bounds: NDArray[np.int64],
) -> tuple[int, int]:
    """Write the keys and values of the users from ``begin`` on, as long as they fit.

    Args:
        columns: read only.
        users: codes; of a user without a profile the key alone is written.
        begin: the first to write.
        pieces: of the table.
        keys: what the codes of users stand for.
        actions: those of actions.
        items: those of items.
        out: written to from its beginning.
        bounds: ``(2 * len(users) + 1,)`` key i is ``out[bounds[2i]:bounds[2i + 1]]``, its value
            ends at ``bounds[2i + 2]``; those written are counted from ``begin``.

    Returns:
        Where it stopped, and the bytes that the one it stopped at needs, 0 at the end.
    """
    at = 0
    bounds[0] = 0
    for i in range(begin, users.shape[0]):
        user = users[i]
        row = np.int64(columns.users.row[user])
        need = _room_needed(columns, row, user, pieces, keys, actions, items)
        if at + need > out.shape[0]:
            return i, need
        at = put_bytes(out, at, keys.arena, keys.ends[user], keys.ends[user + 1])
        bounds[2 * (i - begin) + 1] = at
        if row > 0:
            at = _put_profile(out, at, columns, user, row, pieces, actions, items)
        bounds[2 * (i - begin) + 2] = at
    return users.shape[0], 0
