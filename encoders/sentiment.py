"""How a text feels about what it is about, from the vector that it has anyway."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from encoders.errors import SentimentError
from encoders.spaces import same_space

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SentimentHead", "default_head", "load_head"]

_KEYS = ("encoder_id", "accuracy", "trained_on")


@dataclass(frozen=True, slots=True, eq=False)
class SentimentHead:
    """A logistic regression on the vectors of one encoder.

    Attributes:
        weights: ``(dim,) float32``.
        bias: added to the product.
        encoder_id: whose vectors it was trained on.
        accuracy: on examples that it was not trained on, in [0, 1]; the lowest, where they have
            several forms.
        trained_on: what it was trained on, in words.
    """

    weights: NDArray[np.float32]
    bias: float
    encoder_id: str
    accuracy: float
    trained_on: str

    def fits(self, encoder_id: str) -> bool:
        """Whether this encoder's vectors mean to it what those that it was trained on did."""
        return same_space(self.encoder_id, encoder_id)

    def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the texts feel: s = 2·P(positive) - 1 = tanh(z / 2), z = w·v + b.

        Args:
            vectors: ``(n, dim) float32``.

        Returns:
            ``(n,) float32`` in [-1, 1].
        """
        found: NDArray[np.float32] = np.tanh((vectors @ self.weights + self.bias) / 2)
        return found

    def save(self, file: Path) -> None:
        """Write it as safetensors, what it is about in the metadata."""
        values = (self.encoder_id, f"{self.accuracy:.4f}", self.trained_on)
        save_file(
            {"weights": self.weights, "bias": np.array([self.bias], np.float32)},
            file,
            metadata=dict(zip(_KEYS, values, strict=True)),
        )


def load_head(file: Path) -> SentimentHead:
    """Read a head that `SentimentHead.save` wrote.

    Raises:
        SentimentError: there is none, or it is damaged.
    """
    try:
        with safe_open(file, "np") as found:
            said = found.metadata() or {}
            weights, bias = found.get_tensor("weights"), found.get_tensor("bias")
        return SentimentHead(
            weights, float(bias[0]), said["encoder_id"], float(said["accuracy"]), said["trained_on"]
        )
    except (OSError, SafetensorError, KeyError, ValueError, IndexError) as error:
        raise SentimentError(
            f"{file} is no sentiment head ({error}); make one with: tidemark sentiment train"
        ) from error


def default_head() -> SentimentHead:
    """The head for all-MiniLM-L6-v2 that comes along."""
    return load_head(Path(str(files("encoders"))) / "heads" / "all-MiniLM-L6-v2.safetensors")
