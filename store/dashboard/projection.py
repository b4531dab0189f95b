"""Vectors of many dimensions as points of two: principal component analysis, in NumPy."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["choose", "principal_plane"]


def choose(ids: Sequence[str], most: int) -> list[str]:
    """At most so many of the ids, the same ones whenever the ids are the same.

    Those with the lowest CRC-32: as good as drawn by lot, and an id that is chosen stays so while
    others come and go.
    """
    if len(ids) <= most:
        return sorted(ids)
    return sorted(sorted(ids, key=lambda one: (zlib.crc32(one.encode()), one))[:most])


def principal_plane(
    vectors: NDArray[np.float32],
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Where vectors lie in the plane of their largest variance.

    The eigenvectors of the covariance matrix with the two largest eigenvalues (Jolliffe, Principal
    Component Analysis, 2002, 1.1). Of the two signs of each the one is taken whose largest
    coordinate is positive, so that the same vectors always lie the same way.

    Args:
        vectors: ``(n, dim) float32``.

    Returns:
        Points ``(n, 2) float32`` around their mean, and each axis' share of the whole variance:
        0 where there is none.
    """
    count, dim = vectors.shape
    if count == 0 or dim == 0:
        return np.zeros((count, 2), np.float32), (0.0, 0.0)
    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64) / count
    values, axes = np.linalg.eigh(covariance)
    order = np.argsort(values)[::-1][:2]
    plane = axes[:, order]
    plane *= np.sign(plane[np.abs(plane).argmax(axis=0), np.arange(plane.shape[1])])
    points = np.zeros((count, 2), np.float32)
    points[:, : plane.shape[1]] = centred @ plane.astype(np.float32)
    whole = float(values.clip(min=0).sum())
    shares = [max(0.0, float(values[at])) / whole if whole > 0 else 0.0 for at in order]
    first, second = (*shares, 0.0)[:2]
    return points, (first, second)
