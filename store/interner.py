"""Ids as small ints: what is compared, kept and looked up per action is a code, not a string."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.compiled import compiled, part

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    from numpy.typing import NDArray

    _Number = TypeVar("_Number", np.uint8, np.int64)

__all__ = ["Interner", "Keys", "find_code", "hash_bytes"]

_FNV_BASIS = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_HALF = np.uint64(33)

#: Of the hash, a slot keeps these many bits beside the code: enough to place the key again when
#: the table grows, and to pass over other keys without reading their bytes.
_TAG_BITS = 31
_CODE_BITS = 32
_CODE_MASK = (1 << _CODE_BITS) - 1


class Keys(NamedTuple):
    """The tables of an `Interner` for compiled code that looks codes up; until the next insert.

    Attributes:
        slots: a hash table with linear probing: 0 where empty, else tag and code + 1.
        arena: the bytes of all keys, one after the other; longer than what is used of it.
        ends: key c is ``arena[ends[c]:ends[c + 1]]``.
    """

    slots: NDArray[np.int64]
    arena: NDArray[np.uint8]
    ends: NDArray[np.int64]


@compiled
def hash_bytes(buffer: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """The hash of ``buffer[start:end]``: 64 bits, the same in every process, never 0.

    FNV-1a (Fowler, Noll, Vo) finished by MurmurHash3's ``fmix64`` (Appleby), which spreads the
    last bytes over all bits. It is no defence against keys chosen to collide.
    """
    h = _FNV_BASIS
    for i in range(np.uint64(start), np.uint64(end)):
        h = (h ^ np.uint64(buffer[i])) * _FNV_PRIME
    h = (h ^ (h >> _HALF)) * _MIX_1
    h = (h ^ (h >> _HALF)) * _MIX_2
    h ^= h >> _HALF
    # 0 says "no value" wherever hashes are kept
    return h if h != np.uint64(0) else np.uint64(1)


@part
def _is_key(
    arena: NDArray[np.uint8],
    ends: NDArray[np.int64],
    code: int,
    buffer: NDArray[np.uint8],
    start: int,
    end: int,
) -> bool:
    first = ends[code]
    if ends[code + 1] - first != end - start:
        return False
    own, other = np.uint64(first), np.uint64(start)
    for i in range(np.uint64(end - start)):
        if arena[own + i] != buffer[other + i]:
            return False
    return True


@part
def find_code(keys: Keys, buffer: NDArray[np.uint8], start: int, end: int) -> int:
    """The code of ``buffer[start:end]``; -1 where it is unknown."""
    tag = np.int64(hash_bytes(buffer, start, end) >> np.uint64(64 - _TAG_BITS))
    mask = keys.slots.shape[0] - 1
    at = tag & mask
    while keys.slots[at] != 0:
        if keys.slots[at] >> _CODE_BITS == tag:
            held = (keys.slots[at] & _CODE_MASK) - 1
            if _is_key(keys.arena, keys.ends, held, buffer, start, end):
                return held
        at = (at + 1) & mask
    return np.int64(-1)


@compiled
def _find_or_insert(
    slots: NDArray[np.int64],
    arena: NDArray[np.uint8],
    ends: NDArray[np.int64],
    count: NDArray[np.int64],
    buffer: NDArray[np.uint8],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    insert: bool,
    codes: NDArray[np.int32],
    begin: int,
) -> int:
    """Fill ``codes[begin:]``; returns where it stopped for want of room, or the length.

    ``slots`` is a hash table with linear probing: 0 where empty, else tag and code + 1.
    """
    mask = slots.shape[0] - 1
    for i in range(begin, starts.shape[0]):
        start, end = starts[i], stops[i]
        if start < 0:
            codes[i] = -1
            continue
        tag = np.int64(hash_bytes(buffer, start, end) >> np.uint64(64 - _TAG_BITS))
        at = tag & mask
        code = np.int64(-1)
        while slots[at] != 0:
            if slots[at] >> _CODE_BITS == tag:
                held = (slots[at] & _CODE_MASK) - 1
                if _is_key(arena, ends, held, buffer, start, end):
                    code = held
                    break
            at = (at + 1) & mask
        if code < 0 and insert:
            n = count[0]
            used = ends[n]
            if (
                n + 2 > ends.shape[0]
                or used + end - start > arena.shape[0]
                or 3 * (n + 1) > 2 * slots.shape[0]
            ):
                return i
            # The key before its slot: a reader that finds the code finds the bytes.
            for j in range(end - start):
                arena[used + j] = buffer[start + j]
            ends[n + 1] = used + end - start
            slots[at] = (tag << _CODE_BITS) | (n + 1)
            count[0] = n + 1
            code = n
        codes[i] = code
    return starts.shape[0]


@compiled
def _place_again(old: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
    mask = slots.shape[0] - 1
    for i in range(old.shape[0]):
        if old[i] != 0:
            at = (old[i] >> _CODE_BITS) & mask
            while slots[at] != 0:
                at = (at + 1) & mask
            slots[at] = old[i]


class Interner:
    """Byte strings to codes 0, 1, 2… in the order of their first appearance; nothing is removed.

    A hash table with linear probing; keys are compared by their bytes. It costs the key's bytes
    and 20 to 32 more. One thread at a time may look up and insert; another may meanwhile
    read `arena` and `ends` for codes that it was given before: growing replaces the arrays and
    leaves the old ones to those who hold them.
    """

    def __init__(self) -> None:
        self._slots: NDArray[np.int64] = np.zeros(64, np.int64)
        self._arena: NDArray[np.uint8] = np.zeros(512, np.uint8)
        self._ends: NDArray[np.int64] = np.zeros(33, np.int64)
        self._count: NDArray[np.int64] = np.zeros(1, np.int64)

    def __len__(self) -> int:
        return int(self._count[0])

    @property
    def arena(self) -> NDArray[np.uint8]:
        """The bytes of all keys, one after the other; longer than what is used of it."""
        return self._arena

    @property
    def ends(self) -> NDArray[np.int64]:
        """``(n + 1,)`` key c is ``arena[ends[c]:ends[c + 1]]``."""
        return self._ends[: len(self) + 1]

    @property
    def keys(self) -> Keys:
        """For `find_code`."""
        return Keys(self._slots, self._arena, self._ends)

    def code(self, key: bytes) -> int:
        """The key's code, a new one where it is unknown."""
        return int(self._one(key, insert=True))

    def find(self, key: bytes) -> int:
        """The key's code; -1 where it is unknown."""
        return int(self._one(key, insert=False))

    def key(self, code: int) -> bytes:
        """The key of a code.

        Raises:
            IndexError: no such code was given.
        """
        if not 0 <= code < len(self):
            raise IndexError(f"code {code} was never given; expected 0 to {len(self) - 1}")
        return self._arena[self._ends[code] : self._ends[code + 1]].tobytes()

    def codes(
        self,
        buffer: NDArray[np.uint8],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        *,
        insert: bool,
    ) -> NDArray[np.int32]:
        """One code for each span ``buffer[start:end]``.

        Args:
            buffer: bytes of many keys.
            starts: ``(n,)`` where each span begins; below 0 means no value.
            ends: ``(n,)`` where it ends.
            insert: whether unknown keys get a code.

        Returns:
            ``(n,) int32``; -1 where there is no value, or an unknown key and not ``insert``.
        """
        codes = np.empty(len(starts), np.int32)
        done = 0
        while True:
            done = _find_or_insert(
                self._slots, self._arena, self._ends, self._count,
                buffer, starts, ends, insert, codes, done,
            )  # fmt: skip
            if done == len(starts):
                return codes
            self._grow(int(ends[done] - starts[done]))

    def codes_of(self, names: Sequence[str], *, insert: bool) -> NDArray[np.int32]:
        """One code for each name, by its UTF-8; as `codes`."""
        keys = [name.encode() for name in names]
        ends = np.zeros(len(keys) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, keys), np.int64, len(keys)), out=ends[1:])
        buffer = np.frombuffer(b"".join(keys), np.uint8)
        return self.codes(buffer, ends[:-1], ends[1:], insert=insert)

    def _one(self, key: bytes, *, insert: bool) -> np.int32:
        buffer = np.frombuffer(key, np.uint8)
        span = np.array([0, len(key)], np.int64)
        code: np.int32 = self.codes(buffer, span[:1], span[1:], insert=insert)[0]
        return code

    def _grow(self, more: int) -> None:
        """Make room for one more key of so many bytes, and an eighth more."""
        n, used = len(self), int(self._ends[len(self)])
        if used + more > len(self._arena):
            self._arena = _longer(self._arena, used + more)
        if n + 2 > len(self._ends):
            self._ends = _longer(self._ends, n + 2)
        if 3 * (n + 1) > 2 * len(self._slots):
            slots = np.zeros(2 * len(self._slots), np.int64)
            _place_again(self._slots, slots)
            self._slots = slots


def _longer(array: NDArray[_Number], needed: int) -> NDArray[_Number]:
    longer = np.zeros(max(needed, len(array) + len(array) // 8), array.dtype)
    longer[: len(array)] = array
    return longer
