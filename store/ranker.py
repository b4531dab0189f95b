"""Orders what was found near a profile by a trained function of profile and item.

    R(p, q) = t·p·q + o·relu(H·relu(W₁p + W₂q + b) + c)

p and q are the unit vectors of user and item, p as the items are searched for: without their mean,
where that is removed. Before it is trained o is 0, so that it begins as the order that the search
gave.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

from store.blas import one_blas_thread
from store.errors import EncoderMismatchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Ranker"]

_VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Ranker:
    """See the module. All arrays are float32.

    Attributes:
        encoder_id: whose vectors it was trained on.
        mean_removal: whether p was without the items' mean (`store.mean_vector`).
        of_user, of_item: W₁ and W₂, ``(hidden, dim)``.
        bias: b, ``(hidden,)``.
        inner, inner_bias: H, ``(inner, hidden)``, and c, ``(inner,)``.
        out: o, ``(inner,)``.
        nearness: t, ``(1,)``.
    """

    encoder_id: str
    mean_removal: bool
    of_user: NDArray[np.float32]
    of_item: NDArray[np.float32]
    bias: NDArray[np.float32]
    inner: NDArray[np.float32]
    inner_bias: NDArray[np.float32]
    out: NDArray[np.float32]
    nearness: NDArray[np.float32]
    version: str = field(init=False)

    def __post_init__(self) -> None:
        """Check the shapes, and name the version. Raises `ValueError`."""
        hidden, dim = self.of_user.shape
        (inner,) = self.out.shape
        expected = {
            "of_item": (hidden, dim), "bias": (hidden,), "inner": (inner, hidden),
            "inner_bias": (inner,), "nearness": (1,),
        }  # fmt: skip
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} is of {getattr(self, name).shape}; expected {shape}")
        said = hashlib.sha256(f"{self.encoder_id} {self.mean_removal}".encode())
        for name, array in self.arrays().items():
            if array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"{name} is {array.dtype}, or not finite; expected float32")
            said.update(array.tobytes())
        object.__setattr__(self, "version", f"mlp-{said.hexdigest()[:_VERSION_DIGITS]}")

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """What is learned, by name."""
        return {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if one.name not in ("encoder_id", "mean_removal", "version")
        }

    def require(self, encoder_id: str, dim: int, *, mean_removal: bool) -> None:
        """Refuse the vectors of another encoder, and profiles that are searched for otherwise.

        Raises:
            EncoderMismatchError: it was trained on others.
        """
        if (encoder_id, dim) != (self.encoder_id, self.of_user.shape[1]):
            raise EncoderMismatchError(
                f"the ranker {self.version} was trained on vectors of {self.encoder_id!r} (dim "
                f"{self.of_user.shape[1]}), this process has those of {encoder_id!r} (dim {dim}): "
                "train one for them with: tidemark train ranker; or leave retrieval.ranker out"
            )
        if mean_removal != self.mean_removal:
            here, there = str(mean_removal).lower(), str(self.mean_removal).lower()
            raise EncoderMismatchError(
                f"the ranker {self.version} was trained with retrieval.mean_removal = {there}, and "
                f"it is {here} here: train one with: tidemark train ranker; or leave "
                f"retrieval.ranker out, or have retrieval.mean_removal = {there}"
            )

    def scores(self, user: NDArray[np.float32], items: NDArray[np.float32]) -> NDArray[np.float32]:
        """R of a user and each of some items, ``(n,) float32``.

        Args:
            user: ``(dim,) float32`` p, at length 1.
            items: ``(n, dim) float32``, at length 1.
        """
        with one_blas_thread():
            hidden = items @ self.of_item.T
            hidden += self.of_user @ user + self.bias
            np.maximum(hidden, 0, out=hidden)
            inner = hidden @ self.inner.T
            inner += self.inner_bias
            np.maximum(inner, 0, out=inner)
            found: NDArray[np.float32] = self.nearness[0] * (items @ user) + inner @ self.out
        return found
