"""Taking a partition's profiles over from its topic, record by record: the versions rule.

Of each user the version with the highest source offset counts, whatever order they were written
in: a worker that was stopped past its session may have written an older one last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from store.errors import CorruptRecordError
from store.profile import Fence, decode_fence, decode_profile, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from store.profile import ProfileState
    from store.record import Record
    from store.table import ProfileTable

__all__ = ["Restore", "newest_versions"]


def newest_versions(
    records: Iterable[Record],
) -> tuple[dict[str, ProfileState | Fence | None], set[str]]:
    """Each key's version with the highest source offset, whatever order they were written in.

    Returns:
        The newest by user (None: deleted without a fence), and the users whose last record is an
        older one: theirs must be published again, or compaction keeps the wrong one.

    Raises:
        CorruptRecordError: a record cannot be read. Going on without it would lose a profile.
    """
    newest: dict[str, tuple[int, ProfileState | Fence | None]] = {}
    outdated: set[str] = set()
    for record in records:
        try:
            user_id = (record.key or b"").decode()
            found = (
                decode_fence(record.headers)
                if record.value is None
                else decode_profile(record.value)
            )
        except (CorruptRecordError, UnicodeDecodeError) as error:
            raise _corrupt(record, error) from error
        # A tombstone without a fence was written by hand, and means what it says.
        version = newest[user_id][0] if found is None and user_id in newest else 0
        if found is not None:
            version = version_of(found.applied)
        if user_id in newest and version < newest[user_id][0]:
            outdated.add(user_id)
        else:
            newest[user_id] = (version, found)
            outdated.discard(user_id)
    return {user_id: found for user_id, (_, found) in newest.items()}, outdated


class _Applied(msgspec.Struct):
    """The one field of a state that the rule needs; the others are skipped without being read."""

    applied: dict[str, int]


class _Newest(NamedTuple):
    version: int
    record: Record
    fence: Fence | None  # of a tombstone


_applied_decoder = msgspec.msgpack.Decoder(_Applied)


class Restore:
    """Fills a table as `newest_versions` says, with few objects a record.

    Args:
        table: perhaps with what a snapshot held.
    """

    def __init__(self, table: ProfileTable) -> None:
        self._table = table
        self._overtaken: set[bytes] = set()

    def take(self, records: Sequence[Record]) -> None:
        """Take records over, in offset order.

        Raises:
            CorruptRecordError: a record cannot be read. Going on without it would lose a profile.
            EncoderMismatchError: a state was made by another encoder or policy.
        """
        keys = [record.key or b"" for record in records]
        held = dict(zip(keys, self._table.versions(keys).tolist(), strict=True))
        newest: dict[bytes, _Newest] = {}
        for key, record in zip(keys, records, strict=True):
            try:
                one = _read(record)
            except CorruptRecordError as error:
                raise _corrupt(record, error) from error
            if one is None:
                self._take_over({key: newest.pop(key)} if key in newest else {})
                self._delete(key.decode())
            elif one.version < held[key]:
                self._overtaken.add(key)
                continue
            else:
                newest[key] = one
                held[key] = one.version
            self._overtaken.discard(key)
        self._take_over(newest)

    def finish(self) -> int:
        """Mark the users whose last record was an older one: theirs must be published again.

        Else compaction keeps the wrong one.

        Returns:
            How many they are.
        """
        for key in self._overtaken:
            self._table.touch(key.decode())
        return len(self._overtaken)

    def _take_over(self, newest: dict[bytes, _Newest]) -> None:
        states = {key: one for key, one in newest.items() if one.fence is None}
        values = [one.record.value or b"" for one in states.values()]
        try:
            self._table.take_over_many(list(states), values)
        except CorruptRecordError:
            for one in states.values():
                try:
                    decode_profile(one.record.value or b"")
                except CorruptRecordError as error:
                    raise _corrupt(one.record, error) from error
            raise
        for key, one in newest.items():
            if one.fence is not None:
                self._table.take_over(key.decode(), one.fence)

    def _delete(self, user_id: str) -> None:
        """A tombstone without a fence was written by hand, and means what it says.

        What it deletes leaves a fence in the table, so that an older version that comes later is
        known to be one.
        """
        if user_id in self._table:
            state = self._table.state(user_id)
            self._table.take_over(
                user_id,
                Fence(
                    partition=state.partition,
                    applied=state.applied,
                    forgotten_ts=state.forgotten_ts,
                ),
            )


def _read(record: Record) -> _Newest | None:
    try:
        (record.key or b"").decode()
        if record.value is not None:
            applied = _applied_decoder.decode(record.value).applied
            return _Newest(version_of(applied), record, None)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptRecordError(f"not the key and state of a profile: {error}") from error
    fence = decode_fence(record.headers)
    return None if fence is None else _Newest(version_of(fence.applied), record, fence)


def _corrupt(record: Record, error: Exception) -> CorruptRecordError:
    return CorruptRecordError(
        f"profiles, partition {record.partition}, offset {record.offset}: {error}. "
        "Something else writes to this topic: find it, delete the record's key with a "
        "tombstone, and start again"
    )
