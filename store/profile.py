"""A user's profile as it stands in the compacted topic ``profiles``, and the order of its versions.

The vector and the fence (the last applied source offset) travel in one record, so they cannot
disagree. A profile is deleted by a tombstone: a null value whose header carries the fence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from store.errors import UNREADABLE, CorruptRecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = [
    "FENCE_HEADER",
    "MOST_STRENGTH",
    "PROFILE_VERSION",
    "Contribution",
    "Fence",
    "ProfileState",
    "contribution_weights",
    "decode_fence",
    "decode_profile",
    "encode_fence",
    "encode_profile",
    "version_of",
]

#: The newest version that is read.
PROFILE_VERSION = 1
#: Of s, which is from −1 to 1 but for rounding.
MOST_STRENGTH = 1.001
#: Header of a tombstone on ``profiles``; its value is a MessagePack `Fence`.
FENCE_HEADER = "tidemark-fence"


class Contribution(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One action's part in a profile: what it was, and the k and signed strength it was folded by.

    Its weight in today's profile is ``(1-k)·s`` times the k of every later contribution
    (`contribution_weights`).
    """

    action: str
    item_id: str | None
    k: float
    strength: float


class ProfileState(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """All that is known of a user: value of a ``profiles`` record, key ``user_id``.

    Attributes:
        encoder: ``encoder_id`` of the vectors folded.
        policy: name and parameters of the rule that folded them.
        dim: length of the vector.
        vector: ``dim`` little-endian float32; its norm says how concentrated the interest is.
        count: actions folded.
        mass: decayed sum of weights (policy ``decay``).
        sum_k, sum_k2: Σk and Σk² over the actions folded (policy ``adaptive``).
        last_ts: event time of the latest action folded, ms.
        partition: the source partition; the same for every source topic.
        applied: last applied offset of each source topic.
        fresh_from: Kafka timestamp (ms) of the oldest action that this version first contains:
            the publish time that freshness is measured from.
        forgotten_ts: event time of the user's last ``forget``, ms; older events are ignored.
        contributions: the latest ones, oldest first.
        seen: recently seen item ids, oldest first, without repeats.
        event_ids: 64-bit hashes of recently applied event ids, oldest first (`hash_bytes`).
        paced: event time, ms, up to which the user's actions were spread out at the capped rate;
            absent without a cap (see `store.robustness`, also for the next two).
        cos_mean, cos_var: of cos(v, p); absent without an outlier gate.
    """

    encoder: str
    policy: str
    dim: int
    vector: bytes
    count: int
    last_ts: int
    partition: int
    applied: dict[str, int]
    mass: float = 0.0
    sum_k: float = 0.0
    sum_k2: float = 0.0
    fresh_from: int = 0
    forgotten_ts: int = 0
    contributions: list[Contribution] = []
    seen: list[str] = []
    event_ids: list[int] = []
    paced: float = 0.0
    cos_mean: float = 0.0
    cos_var: float = 0.0
    v: int = 1  # absent means 1, now and later

    def array(self) -> NDArray[np.float32]:
        """The vector p, ``(dim,) float32``, read-only, not normalised."""
        return np.frombuffer(self.vector, dtype="<f4")


class Fence(msgspec.Struct, frozen=True, kw_only=True):
    """What a forgotten user leaves behind, so that late events cannot bring the user back.

    Attributes:
        applied: source offset of the ``forget`` and of all before it, by source topic.
        forgotten_ts: event time of the ``forget``, ms; older events are ignored.
    """

    partition: int
    applied: dict[str, int]
    forgotten_ts: int


_profile_encoder = msgspec.msgpack.Encoder()
_profile_decoder = msgspec.msgpack.Decoder(ProfileState)
_fence_decoder = msgspec.msgpack.Decoder(Fence)


def encode_profile(state: ProfileState) -> bytes:
    """The record's value."""
    return _profile_encoder.encode(state)


def decode_profile(value: bytes) -> ProfileState:
    """Read a record's value.

    Raises:
        CorruptRecordError: not a profile, or its vector is not ``dim`` float32.
    """
    try:
        state = _profile_decoder.decode(value)
    except UNREADABLE as error:
        raise CorruptRecordError(
            f"a record of the profiles topic cannot be read: {error}"
        ) from error
    _check(state)
    return state


def _check(state: ProfileState) -> None:
    """What the decoder cannot check of a profile's fields.

    Raises:
        CorruptRecordError: it is of a newer version, its vector is not ``dim`` float32, or the
            strength of an action is none.
    """
    if not 1 <= state.v <= PROFILE_VERSION:
        raise CorruptRecordError(
            f"a profile is of version {state.v}; this program reads up to {PROFILE_VERSION}"
        )
    for one in state.contributions:
        if not abs(one.strength) <= MOST_STRENGTH:
            raise CorruptRecordError(
                f"a profile says of an action on {one.item_id!r} that its strength is "
                f"{one.strength}; expected -1 to 1"
            )
    if len(state.vector) != 4 * state.dim:
        raise CorruptRecordError(
            f"a profile says dim={state.dim} but carries {len(state.vector)} bytes; "
            f"expected {4 * state.dim}"
        )


def encode_fence(fence: Fence) -> bytes:
    """The value of a tombstone's `FENCE_HEADER`."""
    return _profile_encoder.encode(fence)


def decode_fence(headers: Iterable[tuple[str, bytes | None]]) -> Fence | None:
    """The fence in a tombstone's headers, or None where there is none.

    Raises:
        CorruptRecordError: the header is there but cannot be read.
    """
    for name, value in headers:
        if name == FENCE_HEADER:
            if value is None:
                raise CorruptRecordError(
                    "a tombstone's fence cannot be read: its header's value is null; expected "
                    "MessagePack"
                )
            try:
                return _fence_decoder.decode(value)
            except UNREADABLE as error:
                raise CorruptRecordError(f"a tombstone's fence cannot be read: {error}") from error
    return None


def version_of(applied: Mapping[str, int]) -> int:
    """A number that grows with every action applied, comparable between versions of one key.

    Readers keep, per key, the record with the highest version, not the last one written: a worker
    that was stopped past its session may still send an older state after its successor's.
    """
    return sum(applied.values()) + len(applied)


def contribution_weights(contributions: Iterable[Contribution]) -> list[float]:
    """Each contribution's weight in the profile, oldest first: ``(1-k_j)·s_j·Π_{i>j} k_i``."""
    later = 1.0
    weights: list[float] = []
    for one in reversed(list(contributions)):
        weights.append((1.0 - one.k) * one.strength * later)
        later *= one.k
    weights.reverse()
    return weights
