"""The contract every encoder keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CountsTexts", "TextEncoder"]


@runtime_checkable
class TextEncoder(Protocol):
    """Turns texts into unit vectors.

    The vector of a text does not depend on the batch it is in (tolerance 1e-5 in float32), nor on
    the process that computes it. An encoder may be called from several threads.
    """

    @property
    def encoder_id(self) -> str:
        """Names weights, pooling, dimension and precision; stored with every vector."""
        ...

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts, in their order.

        Args:
            texts: any number, none included; each non-empty.

        Returns:
            ``(n, dim) float32``, C-contiguous, owned by the caller, rows of norm 1.

        Raises:
            EncoderError: a text cannot be encoded; `retriable` says whether the same call may
                succeed later.
        """
        ...


@runtime_checkable
class CountsTexts(Protocol):
    """An encoder whose calls may be long, and that says meanwhile how far it is."""

    @property
    def texts_done(self) -> int:
        """Texts encoded since it was made; grows while a call runs. Read from other threads."""
        ...

    @property
    def texts_cut(self) -> int:
        """Texts that were longer than it reads; likewise."""
        ...

    @property
    def tokens_done(self) -> int:
        """Tokens of the texts that it encoded; likewise."""
        ...

    @property
    def padding_done(self) -> int:
        """Tokens that it computed beside these, to fill up batches; likewise."""
        ...
