"""Compiled loops over rows that lie in several blocks of memory.

The blocks' addresses are handed over as numbers: a loop then reaches any row of an index without
Python in between. Whoever calls holds the blocks meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numba.core import types
from numba.core.cgutils import voidptr_t
from numba.extending import intrinsic

from store.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "decode_bfloat16",
    "encode_bfloat16",
    "offer",
    "put_rows",
    "score_bfloat16",
    "score_float32",
    "take_rows",
]


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(_context: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], voidptr_t)

    return types.voidptr(address), generate


@intrinsic  # type: ignore[untyped-decorator]
def _as_float(_context: Any, _bits: Any) -> Any:
    """Bits as the float32 that they are."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.uint32), generate


@intrinsic  # type: ignore[untyped-decorator]
def _as_bits(_context: Any, _number: Any) -> Any:
    """The bits of a float32."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.uint32))

    return types.uint32(types.float32), generate


@compiled
def encode_bfloat16(vectors: NDArray[np.float32], out: NDArray[np.uint16]) -> None:
    """To the nearest, halves to even; of finite numbers. ``(n, d)`` both."""
    numbers, codes = vectors.reshape(-1), out.reshape(-1)
    for i in range(np.uint64(numbers.shape[0])):
        bits = _as_bits(numbers[i])
        odd = (bits >> np.uint32(16)) & np.uint32(1)
        codes[i] = np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))


@compiled
def decode_bfloat16(codes: NDArray[np.uint16], out: NDArray[np.float32]) -> None:
    """``(n, d)`` both."""
    halves, numbers = codes.reshape(-1), out.reshape(-1)
    for i in range(np.uint64(halves.shape[0])):
        numbers[i] = _as_float(np.uint32(halves[i]) << np.uint32(16))


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def put_rows(
    blocks: NDArray[np.int64], block_rows: int, rows: NDArray[np.int64], codes: NDArray[Any]
) -> None:
    """Copy ``codes``, ``(n, width)``, to these rows."""
    width = np.uint64(codes.shape[1])
    for i in range(np.uint64(rows.shape[0])):
        row = rows[i]
        block = numba.carray(
            _pointer(blocks[row // block_rows]), (block_rows, codes.shape[1]), dtype=codes.dtype
        )
        at = np.uint64(row % block_rows)
        for j in range(width):
            block[at, j] = codes[i, j]


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def take_rows(
    blocks: NDArray[np.int64], block_rows: int, rows: NDArray[np.int64], codes: NDArray[Any]
) -> None:
    """Copy these rows to ``codes``, ``(n, width)``."""
    width = np.uint64(codes.shape[1])
    for i in range(np.uint64(rows.shape[0])):
        row = rows[i]
        block = numba.carray(
            _pointer(blocks[row // block_rows]), (block_rows, codes.shape[1]), dtype=codes.dtype
        )
        at = np.uint64(row % block_rows)
        for j in range(width):
            codes[i, j] = block[at, j]


def _score(dtype: Any, name: str) -> Any:
    """A loop for rows of this type; the products are summed in any order."""
    half = dtype is np.uint16

    def loop(blocks, block_rows, rows, query, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        dim = np.uint64(query.shape[0])
        for i in range(np.uint64(rows.shape[0])):
            row = np.int64(rows[i])
            block = numba.carray(
                _pointer(blocks[row // block_rows]), (block_rows, query.shape[0]), dtype=dtype
            )
            at = np.uint64(row % block_rows)
            total = np.float32(0.0)
            for j in range(dim):
                if half:
                    total += query[j] * _as_float(np.uint32(block[at, j]) << np.uint32(16))
                else:
                    total += query[j] * block[at, j]
            out[i] = total

    loop.__name__ = loop.__qualname__ = name
    return numba.njit(
        loop, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
    )


#: ``(blocks, block_rows, rows, query (d,) float32, out (n,) float32)``: inner products.
score_bfloat16 = _score(np.uint16, "score_bfloat16")
score_float32 = _score(np.float32, "score_float32")


@compiled
def offer(
    scores: NDArray[np.float32],
    rows: NDArray[np.int64],
    best: NDArray[np.float32],
    best_rows: NDArray[np.int64],
) -> None:
    """Keep the k largest scores of each query, with their rows, in heaps whose root is the least.

    Args:
        scores: ``(n, m)``; minus infinity is never kept.
        rows: ``(m,)``.
        best: ``(n, k)``; at first minus infinity.
        best_rows: ``(n, k)``.
    """
    k = best.shape[1]
    for query in range(scores.shape[0]):
        least = best[query, 0]
        for i in range(np.uint64(scores.shape[1])):
            score = scores[query, i]
            if score <= least:
                continue
            at = 0
            while True:
                child = 2 * at + 1
                if child >= k:
                    break
                if child + 1 < k and best[query, child + 1] < best[query, child]:
                    child += 1
                if best[query, child] >= score:
                    break
                best[query, at] = best[query, child]
                best_rows[query, at] = best_rows[query, child]
                at = child
            best[query, at] = score
            best_rows[query, at] = rows[i]
            least = best[query, 0]
