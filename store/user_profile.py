"""Records of ``profiles`` as the retrieval side reads them: only as far as it must."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
import numpy as np

from store.errors import UNREADABLE, CorruptRecordError
from store.profile import (
    Contribution,
    Fence,
    decode_fence,
    decode_profile,
    version_of,
)
from store.record import key_of
from store.state_scan import norms_of, scan_states

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from store.profile import ProfileState
    from store.record import Record, RecordTally
    from store.state_scan import StateScan

__all__ = ["NO_ITEMS", "ProfileUpdate", "UserProfile", "read_updates", "unpack_seen"]

#: An empty list in MessagePack.
NO_ITEMS = b"\x90"
T = TypeVar("T")

_seen = msgspec.msgpack.Decoder(tuple[str, ...])
_contributions = msgspec.msgpack.Decoder(list[Contribution])
_applied = msgspec.msgpack.Decoder(dict[str, int])


class UserProfile(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What is kept of a `ProfileState` beside its vector, which only the index holds.

    In no reference cycle, and there may be millions: the cycle collector need not visit them.

    Attributes:
        version: `version_of` the applied offsets.
        norm: of the vector p; 0 where the user's actions cancel out and p is not indexed.
        packed_applied, packed_seen, packed_contributions: still in MessagePack, a tenth of the
            objects' memory, and read when someone asks.
    """

    version: int
    count: int
    last_ts: int
    norm: float
    partition: int
    packed_applied: bytes
    packed_seen: bytes
    packed_contributions: bytes

    @property
    def applied(self) -> dict[str, int]:
        """Highest applied source offset by source topic."""
        return _unpacked(_applied, self.packed_applied)

    @property
    def seen(self) -> tuple[str, ...]:
        """Recently seen item ids, oldest first."""
        return unpack_seen(self.packed_seen)

    @property
    def contributions(self) -> list[Contribution]:
        """The latest contributions, oldest first."""
        return _unpacked(_contributions, self.packed_contributions)


def unpack_seen(packed: bytes) -> tuple[str, ...]:
    """Item ids.

    Raises:
        CorruptRecordError: it is no list of strings.
    """
    return _unpacked(_seen, packed)


def _unpacked(decoder: msgspec.msgpack.Decoder[T], packed: bytes) -> T:
    try:
        return decoder.decode(packed)
    except UNREADABLE as error:
        raise CorruptRecordError(f"a list in a profile cannot be read: {error}") from error


class ProfileUpdate(NamedTuple):
    """What a record says of a user: a profile, or that there is none any more.

    Attributes:
        row: of the profile's vector and norm.
        fresh_from: when the oldest action was published that this state is the first to hold, ms
            since the epoch; 0 where it does not say.
        profile: None for a tombstone.
        fence: what a tombstone carries, if it does.
    """

    record: Record
    user_id: str
    row: int
    fresh_from: int = 0
    profile: UserProfile | None = None
    fence: Fence | None = None


def read_updates(
    records: Sequence[Record],
    encoder_id: str,
    dim: int,
    tally: RecordTally,
    advance: Callable[[int, Mapping[str, int]], None],
) -> tuple[list[ProfileUpdate], NDArray[np.float32], NDArray[np.float64]]:
    """Read records of ``profiles``; what cannot be applied is told to the tally.

    Args:
        records: in any order.
        encoder_id: whose vectors are wanted.
        dim: their length.
        tally: told of corrupt and foreign records.
        advance: told partitions' applied offsets by topic, of all that could be read.

    Returns:
        The updates in the records' order, all vectors ``(n, dim) float32`` and their norms.
    """
    values = [record.value or b"" for record in records]
    scan, matrix = scan_states(values, encoder_id.encode(), dim)
    _tell_applied(scan, values, advance)
    updates: list[ProfileUpdate] = []
    rows = zip(
        records, values, scan.plain.tolist(), scan.counts.tolist(), scan.last_ts.tolist(),
        scan.partitions.tolist(), scan.fresh_from.tolist(), scan.versions.tolist(),
        scan.spans.tolist(), strict=True,
    )  # fmt: skip
    norms = norms_of(matrix).tolist()
    for row, (record, value, plain, count, ts, partition, fresh, version, spans) in enumerate(rows):
        try:
            user_id = key_of(record)
            if not plain:
                update = _read_singly(record, user_id, row, encoder_id, matrix, norms, advance)
            else:
                applied, applied_end, latest, latest_end, seen, seen_end = spans
                profile = UserProfile(
                    version=version,
                    count=count,
                    last_ts=ts,
                    norm=norms[row],
                    partition=partition,
                    packed_applied=value[applied:applied_end],
                    packed_contributions=value[latest:latest_end] or NO_ITEMS,
                    packed_seen=value[seen:seen_end] or NO_ITEMS,
                )
                update = ProfileUpdate(record, user_id, row, fresh, profile)
        except CorruptRecordError as error:
            tally.on_corrupt(record, error)
        except _ForeignError as error:
            tally.on_foreign(record, error.encoder)
        else:
            updates.append(update)
    lengths = np.array(norms)
    if not np.isfinite(lengths).all():
        updates = [update for update in updates if _is_finite(update, lengths, tally)]
    return updates, matrix, lengths


class _ForeignError(Exception):
    """A profile of another encoder."""

    def __init__(self, encoder: str) -> None:
        super().__init__(encoder)
        self.encoder = encoder


def _read_singly(
    record: Record,
    user_id: str,
    row: int,
    encoder_id: str,
    matrix: NDArray[np.float32],
    norms: list[float],
    advance: Callable[[int, Mapping[str, int]], None],
) -> ProfileUpdate:
    """What the scan left to the decoder; fills the row of the vector and of its norm.

    Raises:
        CorruptRecordError: it cannot be read.
        _ForeignError: it was made by another encoder.
    """
    if record.value is None:
        fence = decode_fence(record.headers)
        if fence is not None:
            advance(fence.partition, fence.applied)
        return ProfileUpdate(record, user_id, row, fence=fence)
    state = _decoded(record.value, encoder_id, matrix.shape[1])
    advance(state.partition, state.applied)
    if state.encoder != encoder_id:
        raise _ForeignError(state.encoder)
    matrix[row] = np.frombuffer(state.vector, "<f4")
    norms[row] = float(norms_of(matrix[row : row + 1])[0])
    return ProfileUpdate(record, user_id, row, state.fresh_from, _profile(state, norms[row]))


def _is_finite(update: ProfileUpdate, norms: NDArray[np.float64], tally: RecordTally) -> bool:
    if update.profile is None or np.isfinite(norms[update.row]):
        return True
    tally.on_corrupt(update.record, CorruptRecordError("a profile holds NaN or infinity"))
    return False


def _profile(state: ProfileState, norm: float) -> UserProfile:
    return UserProfile(
        version=version_of(state.applied),
        count=state.count,
        last_ts=state.last_ts,
        norm=norm,
        partition=state.partition,
        packed_applied=msgspec.msgpack.encode(state.applied),
        packed_seen=msgspec.msgpack.encode(state.seen),
        packed_contributions=msgspec.msgpack.encode(state.contributions),
    )


def _decoded(value: bytes, encoder_id: str, dim: int) -> ProfileState:
    """What the scan left to the decoder; of another encoder it may have another length."""
    state = decode_profile(value)
    if state.encoder == encoder_id and state.dim != dim:
        raise CorruptRecordError(f"a profile has {state.dim} values; expected {dim}")
    return state


def _tell_applied(
    scan: StateScan, values: Sequence[bytes], advance: Callable[[int, Mapping[str, int]], None]
) -> None:
    """Of profiles fed by one topic only the one with the highest version tells something new."""
    several = scan.plain & (scan.topics == 0)
    places = np.flatnonzero(several).tolist()
    single = np.flatnonzero(scan.plain & ~several)
    order = single[np.argsort(scan.versions[single], kind="stable")]
    # The last of each pair in ascending order of the version.
    pairs = zip(scan.partitions[order].tolist(), scan.topics[order].tolist(), strict=True)
    places += dict(zip(pairs, order.tolist(), strict=True)).values()
    for place in places:
        start, end = scan.spans[place, :2].tolist()
        advance(int(scan.partitions[place]), _applied.decode(values[place][start:end]))
