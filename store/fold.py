"""The fold as a compiled loop over a batch's actions, in offset order.

One loop in offset order gives, by construction, what folding one action at a time gives, however
the stream was cut into batches. 0.1-1 µs an action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from store.policies import ADAPTIVE, CONSTANT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from store.policies import Policy

__all__ = ["fold_actions", "warm_up"]


# Compiled for the types it is called with; numba itself is untyped.
@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # see above
def _fold(  # type: ignore[no-untyped-def] # see above
    profiles, counts, masses, sums_k, sums_k2, last_ts,
    rows, vectors, vector_rows, strengths, weights, times,
    code, a, b, c, used_k,
) -> None:  # fmt: skip
    dim = profiles.shape[1]
    for i in range(rows.shape[0]):
        row = rows[i]
        p = profiles[row]
        v = vectors[vector_rows[i]]
        n = counts[row]
        elapsed = max(0, times[i] - last_ts[row]) if n > 0 else 0
        if code == CONSTANT:
            k = min(a, n / (n + 1.0))
        elif code == ADAPTIVE:
            if n == 0:
                k = 0.0
            else:
                dot = 0.0
                pp = 0.0
                vv = 0.0
                for j in range(dim):
                    dot += p[j] * v[j]
                    pp += p[j] * p[j]
                    vv += v[j] * v[j]
                norm = np.sqrt(pp) * np.sqrt(vv)
                r = dot / norm if norm > 0.0 else 0.0
                spread = sums_k[row] / sums_k2[row] if sums_k2[row] > 0.0 else 1.0
                k = min(max(a * r + (1.0 - a) * spread, b), c)
        else:
            kept = masses[row] * 2.0 ** (-elapsed / a)
            masses[row] = kept + weights[i]
            k = kept / masses[row]
        keep = np.float32(k)
        add = np.float32((1.0 - k) * strengths[i])
        for j in range(dim):
            p[j] = keep * p[j] + add * v[j]
        counts[row] = n + 1
        sums_k[row] += k
        sums_k2[row] += k * k
        last_ts[row] = max(last_ts[row], times[i])
        used_k[i] = k


def warm_up(dim: int) -> None:
    """Load or compile the loop (0.2-0.7 s), so that the first action does not wait for it."""
    columns = np.zeros((1, dim), np.float32), np.zeros(1, np.int64), *np.zeros((3, 1))
    none = np.zeros(0, np.int64)
    _fold(
        *columns, np.zeros(1, np.int64), none, columns[0], none, np.zeros(0), np.zeros(0), none,
        CONSTANT, 0.0, 0.0, 0.0, np.zeros(0),
    )  # fmt: skip


def fold_actions(
    columns: Any,
    rows: NDArray[np.int64],
    vectors: NDArray[np.float32],
    vector_rows: NDArray[np.int64],
    strengths: NDArray[np.float64],
    weights: NDArray[np.float64],
    times: NDArray[np.int64],
    policy: Policy,
) -> NDArray[np.float64]:
    """Fold n actions into the profiles, in place, in their order.

    Args:
        columns: the table's ``vectors (rows, dim) float32``, ``counts int64``,
            ``masses, sums_k, sums_k2 float64`` and ``last_ts int64``; changed.
        rows: ``(n,)`` the profile of each action.
        vectors: ``(m, dim) float32`` the batch's distinct vectors.
        vector_rows: ``(n,)`` the vector of each action.
        strengths: ``(n,)`` s in [-1, 1].
        weights: ``(n,)`` w > 0.
        times: ``(n,)`` event times, ms.
        policy: chooses k.

    Returns:
        ``(n,) float64``, the k each action was folded by.
    """
    used_k = np.empty(len(rows), np.float64)
    _fold(
        columns.vectors, columns.counts, columns.masses, columns.sums_k, columns.sums_k2,
        columns.last_ts, rows, vectors, vector_rows, strengths, weights, times,
        policy.code, *policy.parameters(), used_k,
    )  # fmt: skip
    return used_k
