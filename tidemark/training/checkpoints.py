"""Where a training stands, in one file of safetensors: to go on from after an interruption."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from store.atomic_file import replacing
from tidemark.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from tidemark.evaluation.log import ActionLog

__all__ = ["digest_of", "log_digest", "read_checkpoint", "write_checkpoint"]


def write_checkpoint(
    file: Path, state: Mapping[str, NDArray[Any]], said: Mapping[str, object]
) -> None:
    """Write it, all at once or not at all.

    Args:
        file: where it goes; what was there is replaced.
        state: arrays by name.
        said: of the rest, what JSON can say.

    Raises:
        CheckpointError: it cannot be written.
    """
    try:
        with replacing(file) as written:
            written.write(save(dict(state), {"said": json.dumps(said)}))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be written: {error}") from error


def read_checkpoint(
    file: Path, identity: Mapping[str, object]
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """What `write_checkpoint` wrote.

    Args:
        file: where it is.
        identity: what ``said["identity"]`` must be.

    Raises:
        CheckpointError: there is none, it is damaged, or of another training.
    """
    try:
        with safe_open(file, "np") as found:
            said = json.loads((found.metadata() or {})["said"])
            state = {name: found.get_tensor(name) for name in found.keys()}  # noqa: SIM118 # no dict
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{file} cannot be taken up ({error}); train anew without --resume"
        ) from error
    for name, value in identity.items():
        if (was := said.get("identity", {}).get(name)) != value:
            raise CheckpointError(
                f"{file} is of another training: {name} was {was!r} and is {value!r}; give what it "
                "was begun with, or train anew without --resume"
            )
    return state, said


def digest_of(*arrays: NDArray[Any]) -> str:
    """12 hex digits over what is in them, for an identity."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]


def log_digest(log: ActionLog) -> str:
    """The same over a log's actions."""
    return digest_of(log.users, log.items, log.ts, log.actions, log.ratings)
