"""The fits of a training of influence, each kept in a file as it comes, to go on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from encoders.training.influence import InfluenceFit
from tidemark.training.checkpoints import read_checkpoint, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["InfluenceFits"]


class InfluenceFits:
    """Fits by whose weights they are and at which half-life.

    Args:
        file: that they are kept in; None for none.
        identity: what decides them.
        resume: begin with those of the file.

    Raises:
        CheckpointError: these cannot be read, or are of another training.
    """

    def __init__(
        self, file: Path | None, identity: Mapping[str, object], *, resume: bool = False
    ) -> None:
        self._file, self._identity = file, identity
        self._arrays: dict[str, NDArray[Any]] = {}
        if file is not None and resume:
            self._arrays, _ = read_checkpoint(file, identity)

    def get(
        self, name: str, half_life_seconds: float, make: Callable[[], InfluenceFit]
    ) -> InfluenceFit:
        """The one that is there, or else one that is made and kept.

        Raises:
            CheckpointError: it cannot be written.
        """
        key = f"{name}/{half_life_seconds:g}"
        if f"{key}/factors" in self._arrays:
            return self._kept(key, half_life_seconds)
        made = make()
        self._arrays |= {
            f"{key}/factors": made.factors,
            f"{key}/others": np.array([made.sharpness, *made.popularity]),
            f"{key}/training": np.array(made.training),
            f"{key}/validation": np.array(made.validation),
        }
        if self._file is not None:
            write_checkpoint(self._file, self._arrays, {"identity": self._identity})
        return made

    def _kept(self, key: str, half_life_seconds: float) -> InfluenceFit:
        sharpness, *popularity = self._arrays[f"{key}/others"].tolist()
        return InfluenceFit(
            factors=self._arrays[f"{key}/factors"],
            half_life_seconds=half_life_seconds,
            sharpness=sharpness,
            popularity=(popularity[0], popularity[1]),
            training=tuple(self._arrays[f"{key}/training"].tolist()),
            validation=tuple(self._arrays[f"{key}/validation"].tolist()),
        )
