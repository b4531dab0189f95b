"""Where a training stands after an epoch, in a file."""

from __future__ import annotations

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
        fingerprint: of the plan and of what it is carried out on: another's is refused.
        resume: whether to go on from it; else one that is there is begun anew.
    """

    def __init__(self, file: Path, fingerprint: str, *, resume: bool) -> None:
        self._file, self._fingerprint, self._resume = file, fingerprint, resume

    def write(self, fitted: Fitted, search: torch.optim.Optimizer, kept: Mapping[str, Any]) -> None:
        """Keep what there is.

        Raises:
            TrainingError: it cannot be written.
        """
        value = {
            "fingerprint": self._fingerprint,
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

    def read(self) -> Stand | None:
        """What is there to go on from; None where it is not asked for.

        Raises:
            TrainingError: there is none, it cannot be read, or it is of another training.
        """
        if not self._resume:
            return None
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
        if not isinstance(value, dict) or value.get("fingerprint") != self._fingerprint:
            raise TrainingError(
                f"{self._file} is of another log, encoder or options; give the same ones, or train "
                "again without --resume"
            )
        return Stand(
            value["state"],
            value["search"],
            [Epoch(**epoch) for epoch in value["epochs"]],
            value["best"],
            value["kept"],
        )
