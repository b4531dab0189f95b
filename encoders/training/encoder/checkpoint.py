"""Where a training stands after an epoch, in a file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from encoders.errors import TrainingError
from encoders.training.encoder.fitted import Epoch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from encoders.training.encoder.fitted import Fitted

__all__ = ["Checkpoint", "Stand"]


class Stand(NamedTuple):
    """What is needed to go on."""

    state: dict[str, dict[str, Any]]
    search: dict[str, Any]
    epochs: list[Epoch]
    best: int
    kept: dict[str, dict[str, Any]]


class Checkpoint:
    """A file that is replaced as a whole after each epoch.

    Args:
        file: which.
        identity: what the training is of, as JSON would have it: another's is refused.
        resume: whether to go on from it; else one that is there is begun anew.

    Attributes:
        stand: where to go on from, as it was found at first; None where that is not asked for.

    Raises:
        TrainingError: there is none, it cannot be read, or it is of another training.
    """

    def __init__(self, file: Path, identity: Mapping[str, object], *, resume: bool) -> None:
        # as it comes back: a tuple as a list
        self._file, self._identity = file, json.loads(json.dumps(dict(identity)))
        self.stand = self._read() if resume else None

    def write(self, fitted: Fitted, search: torch.optim.Optimizer, kept: Mapping[str, Any]) -> None:
        """Keep what there is.

        Raises:
            TrainingError: it cannot be written.
        """
        value = {
            "identity": self._identity,
            "state": fitted.state(),
            "search": search.state_dict(),
            "epochs": [asdict(epoch) for epoch in fitted.epochs],
            "best": fitted.best,
            "kept": dict(kept),
        }
        half = self._file.with_suffix(".part")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            torch.save(value, half)
            os.replace(half, self._file)  # noqa: PTH105 # atomic
        except (OSError, RuntimeError) as error:
            raise TrainingError(f"{self._file} cannot be written: {error}") from error

    def _read(self) -> Stand:
        if not self._file.exists():
            raise TrainingError(
                f"there is no {self._file} to go on from: one is written "
                "after each epoch; train without --resume"
            )
        try:
            value = torch.load(self._file, weights_only=True)
        except Exception as error:  # torch raises whatever its parts raise
            raise TrainingError(
                f"{self._file} cannot be read: {error}; train again without --resume"
            ) from error
        if not isinstance(value, dict) or "identity" not in value:
            raise TrainingError(
                f"{self._file} does not say what it is of: another version wrote it; train again "
                "without --resume"
            )
        for name, wanted in self._identity.items():
            if (was := value["identity"].get(name)) != wanted:
                raise TrainingError(
                    f"{self._file} is of another training: {name} was {was!r} and is {wanted!r}; "
                    "give what it was begun with, or train again without --resume"
                )
        return Stand(
            value["state"],
            value["search"],
            [Epoch(**epoch) for epoch in value["epochs"]],
            value["best"],
            value["kept"],
        )
