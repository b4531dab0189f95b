"""MessagePack read from bytes by compiled code: one value at a time, and no Python object.

Each function reads one value that begins at ``at`` and ends before ``end``. A position of -1 says
that no such value is there, or that it is too long.

The format: https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from store.compiled import part

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "byte_at",
    "find_name",
    "is_utf8",
    "read_array_head",
    "read_bytes",
    "read_integer",
    "read_map_head",
    "read_number",
    "read_string",
    "same_bytes",
    "skip_any",
    "skip_map",
    "skip_scalar",
]


@part
def byte_at(buffer: NDArray[np.uint8], at: int) -> int:
    """A byte as a number that counts on: one of eight bits would wrap around."""
    return np.int64(buffer[at])  # type: ignore[return-value] # compiled, it is what int is


@part
def _bytes(buffer: NDArray[np.uint8], at: int, count: int) -> int:
    """A big-endian number of so many bytes; eight of them may make it negative."""
    number = 0
    for i in range(count):
        number = (number << 8) | byte_at(buffer, at + i)
    return number


@part
def read_string(buffer: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """Where a string's bytes start and end."""
    if at >= end:
        return -1, -1
    tag = byte_at(buffer, at)
    if 0xA0 <= tag <= 0xBF:
        start, length = at + 1, tag & 0x1F
    elif tag == 0xD9 and at + 2 <= end:
        start, length = at + 2, _bytes(buffer, at + 1, 1)
    elif tag == 0xDA and at + 3 <= end:
        start, length = at + 3, _bytes(buffer, at + 1, 2)
    else:
        return -1, -1
    if start + length > end:
        return -1, -1
    return start, start + length


@part
def read_bytes(buffer: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """Where the bytes of a "bin" start and end."""
    if at >= end or not 0xC4 <= buffer[at] <= 0xC6:
        return -1, -1
    width = 1 << (byte_at(buffer, at) - 0xC4)
    start = at + 1 + width
    if start > end:
        return -1, -1
    stop = start + _bytes(buffer, at + 1, width)
    if stop > end:
        return -1, -1
    return start, stop


@part
def read_array_head(buffer: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """How many values an array has, up to 65,535, and where the first begins."""
    if at < end and 0x90 <= buffer[at] <= 0x9F:
        return byte_at(buffer, at) & 0x0F, at + 1
    if at + 3 <= end and buffer[at] == 0xDC:
        return _bytes(buffer, at + 1, 2), at + 3
    return -1, -1


@part
def read_map_head(buffer: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """How many entries a map has, up to 65,535, and where the first begins."""
    if at < end and 0x80 <= buffer[at] <= 0x8F:
        return byte_at(buffer, at) & 0x0F, at + 1
    if at + 3 <= end and buffer[at] == 0xDE:
        return _bytes(buffer, at + 1, 2), at + 3
    return -1, -1


@part
def read_integer(buffer: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """An integer below 2^63, and what follows it."""
    if at >= end:
        return -1, -1
    tag = byte_at(buffer, at)
    if tag <= 0x7F:
        return tag, at + 1
    if tag >= 0xE0:
        return tag - 256, at + 1
    if not 0xCC <= tag <= 0xD3:
        return -1, -1
    width = 1 << ((tag - 0xCC) & 3)
    if at + 1 + width > end:
        return -1, -1
    number = _bytes(buffer, at + 1, width)
    if tag == 0xCF and number < 0:
        return -1, -1  # 2^63 and above
    if tag >= 0xD0 and width < 8 and number >> (8 * width - 1):
        number -= 1 << (8 * width)
    return number, at + 1 + width


@part
def read_number(
    buffer: NDArray[np.uint8], at: int, end: int, bits: NDArray[np.uint64]
) -> tuple[float, int]:
    """A float or an integer that a float holds exactly, and what follows it."""
    if at < end and buffer[at] == 0xCB and at + 9 <= end:
        bits[0] = np.uint64(_bytes(buffer, at + 1, 8))
        return float(bits.view(np.float64)[0]), at + 9
    if at < end and buffer[at] == 0xCA and at + 5 <= end:
        bits[0] = np.uint64(_bytes(buffer, at + 1, 4))
        return float(bits.view(np.float32)[0]), at + 5
    number, after = read_integer(buffer, at, end)
    if abs(number) > 1 << 53:
        after = -1
    return float(number), after


@part
def skip_scalar(
    buffer: NDArray[np.uint8], at: int, end: int, text_bytes: int, bits: NDArray[np.uint64]
) -> int:
    """What follows a scalar (null, bool, number, string); no list, no map."""
    if at >= end:
        return -1
    tag = buffer[at]
    if tag in (0xC0, 0xC2, 0xC3):
        return at + 1
    start, stop = read_string(buffer, at, end)
    if start >= 0:
        if stop - start > text_bytes or not is_utf8(buffer, start, stop):
            return -1
        return stop
    return read_number(buffer, at, end, bits)[1]


@part
def skip_any(buffer: NDArray[np.uint8], at: int, end: int) -> int:
    """What follows a value of any kind, however deep."""
    left = 1
    while left > 0:
        if not 0 <= at < end:
            return -1
        tag = byte_at(buffer, at)
        at += 1
        left -= 1
        head = 0  # bytes that say a length
        fixed = 0  # bytes of the value itself
        if tag <= 0x7F or tag >= 0xE0 or tag in (0xC0, 0xC2, 0xC3):
            continue
        if tag <= 0x8F:
            left += 2 * (tag & 0x0F)
        elif tag <= 0x9F:
            left += tag & 0x0F
        elif tag <= 0xBF:
            fixed = tag & 0x1F
        elif 0xC4 <= tag <= 0xC6:
            head = 1 << (tag - 0xC4)
        elif 0xC7 <= tag <= 0xC9:
            head = 1 << (tag - 0xC7)
            fixed = 1
        elif tag == 0xCA:
            fixed = 4
        elif tag == 0xCB:
            fixed = 8
        elif 0xCC <= tag <= 0xD3:
            fixed = 1 << ((tag - 0xCC) & 3)
        elif 0xD4 <= tag <= 0xD8:
            fixed = 1 + (1 << (tag - 0xD4))
        elif 0xD9 <= tag <= 0xDB:
            head = 1 << (tag - 0xD9)
        elif 0xDC <= tag <= 0xDF:
            width = 2 << ((tag - 0xDC) & 1)
            if at + width > end:
                return -1
            count = _bytes(buffer, at, width)
            left += count if tag <= 0xDD else 2 * count
            at += width
        else:
            return -1
        if head > 0:
            if at + head > end:
                return -1
            fixed += _bytes(buffer, at, head)
            at += head
        if at + fixed > end:
            return -1
        at += fixed
    return at


@part
def skip_map(
    buffer: NDArray[np.uint8],
    at: int,
    end: int,
    entries: int,
    id_bytes: int,
    bits: NDArray[np.uint64],
) -> int:
    """What follows a small map of strings to scalars that are not null."""
    if at >= end or not 0x80 <= buffer[at] <= 0x8F:
        return -1
    count = byte_at(buffer, at) & 0x0F
    if count > entries:
        return -1
    at += 1
    for _ in range(count):
        start, stop = read_string(buffer, at, end)
        if start < 0 or stop - start > id_bytes or not is_utf8(buffer, start, stop):
            return -1
        at = stop
        if at < end and buffer[at] == 0xC0:
            return -1
        if at < end and (buffer[at] == 0xCA or buffer[at] == 0xCB):
            number, at = read_number(buffer, at, end, bits)
            if not np.isfinite(number):
                return -1
        else:
            at = skip_scalar(buffer, at, end, id_bytes, bits)
        if at < 0:
            return at
    return at


@part
def same_bytes(
    one: NDArray[np.uint8],
    start: int,
    stop: int,
    other: NDArray[np.uint8],
    other_start: int,
    other_stop: int,
) -> bool:
    """Whether two spans hold the same bytes."""
    if stop - start != other_stop - other_start:
        return False
    for i in range(stop - start):
        if one[start + i] != other[other_start + i]:
            return False
    return True


@part
def find_name(
    buffer: NDArray[np.uint8],
    start: int,
    stop: int,
    names: NDArray[np.uint8],
    name_ends: NDArray[np.int64],
) -> int:
    """Which of the names a span is; -1 for none of them."""
    for name in range(len(name_ends) - 1):
        if same_bytes(buffer, start, stop, names, name_ends[name], name_ends[name + 1]):
            return name
    return -1


@part
def is_utf8(buffer: NDArray[np.uint8], start: int, stop: int) -> bool:
    """As RFC 3629, section 4: no overlong forms, no surrogates, nothing above U+10FFFF."""
    at = start
    while at < stop:
        first = buffer[at]
        at += 1
        if first < 0x80:
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= first <= 0xDF:
            more = 1
        elif 0xE0 <= first <= 0xEF:
            more = 2
            if first == 0xE0:
                low = 0xA0
            elif first == 0xED:
                high = 0x9F
        elif 0xF0 <= first <= 0xF4:
            more = 3
            if first == 0xF0:
                low = 0x90
            elif first == 0xF4:
                high = 0x8F
        else:
            return False
        if at + more > stop or not low <= buffer[at] <= high:
            return False
        for i in range(1, more):
            if not 0x80 <= buffer[at + i] <= 0xBF:
                return False
        at += more
    return True
