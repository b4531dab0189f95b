"""A trained profile function in a file: safetensors, with what it is for in the metadata."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from store.atomic_file import replacing
from store.sequence import SequenceProfile
from tidemark.errors import SequenceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["load_sequence", "make_sequence", "save_sequence"]

_FORMAT = "tidemark-sequence-1"
_ABOUT = ("encoder_id", "policy", "length")
_ARRAYS = tuple(
    one.name for one in fields(SequenceProfile) if one.name not in {"model_id", *_ABOUT}
)


def make_sequence(
    weights: Mapping[str, NDArray[np.float32]], *, encoder_id: str, policy: str, length: int
) -> SequenceProfile:
    """The function with these weights; its id has the fingerprint of all that decides its vectors.

    Args:
        weights: by the names of `SequenceProfile`.
        encoder_id: whose vectors it takes and gives.
        policy: `store.policies.Policy.identity`.
        length: of the latest actions so many count.

    Raises:
        ValueError: the arrays are not of one net.
    """
    digest = hashlib.sha256(f"{_FORMAT} {encoder_id} {policy} {length}".encode())
    arrays = {name: np.ascontiguousarray(weights[name], np.float32) for name in _ARRAYS}
    for name, array in arrays.items():
        digest.update(f"{name}{array.shape}".encode() + array.tobytes())
    dim, hidden = arrays["out_weights"].shape
    expected = {
        "input_weights": (3 * hidden, dim + 2),
        "state_weights": (3 * hidden, hidden),
        "input_bias": (3 * hidden,),
        "state_bias": (3 * hidden,),
        "out_weights": (dim, hidden),
        "out_bias": (dim,),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} is {arrays[name].shape}; expected {shape}, all finite")
    return SequenceProfile(
        model_id=f"gru:{digest.hexdigest()[:12]}-{length}",
        encoder_id=encoder_id,
        policy=policy,
        length=length,
        **arrays,
    )


def save_sequence(
    sequence: SequenceProfile, file: Path, about: Mapping[str, str] | None = None
) -> None:
    """Write it, all at once or not at all.

    Args:
        sequence: to be written.
        file: where it goes.
        about: more metadata, for people.

    Raises:
        SequenceError: it cannot be written.
    """
    said = {
        **(about or {}),
        "format": _FORMAT,
        "model_id": sequence.model_id,
        **{name: str(getattr(sequence, name)) for name in _ABOUT},
    }
    try:
        with replacing(file) as written:
            written.write(save({name: getattr(sequence, name) for name in _ARRAYS}, said))
    except (OSError, SafetensorError) as error:
        raise SequenceError(f"{file} cannot be written: {error}") from error


def load_sequence(file: Path) -> SequenceProfile:
    """Read what `save_sequence` wrote.

    Raises:
        SequenceError: there is none, or it is damaged.
    """
    try:
        with safe_open(file, "np") as found:
            said = found.metadata() or {}
            weights = {name: found.get_tensor(name) for name in _ARRAYS}
        made = make_sequence(
            weights,
            encoder_id=said["encoder_id"], policy=said["policy"], length=int(said["length"]),
        )  # fmt: skip
        said_id = said["model_id"]
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise SequenceError(
            f"{file} is no sequence model ({error}); make one with: tidemark train sequence"
        ) from error
    if said_id != made.model_id:
        raise SequenceError(
            f"{file} says that it is {said_id}, but holds {made.model_id}: it is damaged; make one "
            "with: tidemark train sequence"
        )
    return made
