"""Rankers as files of safetensors, with what they are for in the header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from store.atomic_file import replacing
from store.ranker import Ranker
from tidemark.errors import RankerError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["load_ranker", "save_ranker"]

_KIND = "tidemark-ranker-2"


def save_ranker(ranker: Ranker, file: Path, trained_on: str) -> None:
    """Write it, complete or not at all.

    Raises:
        RankerError: it cannot be written.
    """
    said = {
        "kind": _KIND,
        "version": ranker.version,
        "encoder_id": ranker.encoder_id,
        "mean_removal": str(ranker.mean_removal).lower(),
        "trained_on": trained_on,
    }
    try:
        with replacing(file) as written:
            written.write(save(ranker.arrays(), said))
    except (OSError, SafetensorError) as error:
        raise RankerError(f"the ranker {file} cannot be written: {error}") from error


def load_ranker(file: Path) -> Ranker:
    """Read it.

    Raises:
        RankerError: it cannot be read, is something else, or is not what its version says.
    """
    try:
        with safe_open(file, "np") as found:
            said = found.metadata() or {}
            arrays = {name: found.get_tensor(name) for name in found.keys()}  # noqa: SIM118 # no dict
        if said.get("kind") != _KIND:
            raise RankerError(
                f"{file} is no ranker of this program ({_KIND}); expected one made by: "
                "tidemark train ranker"
            )
        ranker = Ranker(
            said.get("encoder_id", ""), mean_removal=said.get("mean_removal") == "true", **arrays
        )
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise RankerError(
            f"the ranker {file} cannot be read: {error}; make one with: tidemark train ranker"
        ) from error
    if ranker.version != said.get("version"):
        raise RankerError(
            f"the ranker {file} says that it is {said.get('version')}, and its weights are those "
            f"of {ranker.version}: it is damaged; train it again"
        )
    return ranker
