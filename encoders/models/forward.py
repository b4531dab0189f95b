"""One batch through a model: packed where the architecture allows it, padded where not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from encoders.models.packing import packed
from encoders.models.pooling import pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoders.models.batches import TokenBatch
    from encoders.models.specs import PoolingSpec

__all__ = ["Forward"]


class Forward:
    """Tokens to unit vectors on one device.

    Args:
        model: of transformers, in evaluation mode, on the device.
        heads: what is done to pooled vectors, on the device.
        pooling: how they are pooled.
        prompt_tokens: at the start of each text.
        pad_id: any token; it is masked.
        dim: of the vectors; what the heads give is cut to its first components.
        first_position: the position of a text's first token, where packing was shown to be equal;
            None where texts are padded.
        longest_packed: a longer text is padded: beyond this many tokens the model attends within a
            window.
    """

    def __init__(
        self,
        model: Any,
        heads: torch.nn.Module,
        pooling: PoolingSpec,
        *,
        prompt_tokens: int,
        pad_id: int,
        dim: int,
        first_position: int | None,
        longest_packed: int,
    ) -> None:
        self.device: torch.device = model.device
        self._model = model
        self._heads = heads
        self._pooling = pooling
        self._prompt_tokens = prompt_tokens
        self._pad_id = pad_id
        self._dim = dim
        self.first_position = first_position
        self._longest_packed = longest_packed

    @torch.inference_mode()
    def __call__(self, batch: TokenBatch) -> torch.Tensor:
        """``(b, dim) float32`` unit rows, on the device; on CUDA they may not be ready yet."""
        hidden = self.hidden(batch)
        vectors = pool(hidden, batch.groups, self._pooling, self._prompt_tokens)
        vectors = self._heads(vectors)[:, : self._dim]
        return torch.nn.functional.normalize(vectors, dim=1)

    @torch.inference_mode()
    def hidden(self, batch: TokenBatch) -> torch.Tensor:
        """``(t, d)``: the tokens' own vectors, texts end to end."""
        if self.first_position is None or int(batch.lengths[0]) > self._longest_packed:
            return self._padded(batch)
        starts = np.cumsum(batch.lengths) - batch.lengths
        positions = np.arange(len(batch.ids)) - np.repeat(starts, batch.lengths)
        with packed(batch.groups):
            hidden: torch.Tensor = self._model(
                input_ids=self._send(batch.ids[None]),
                position_ids=self._send((positions + self.first_position)[None]),
            ).last_hidden_state[0]
        return hidden

    def _padded(self, batch: TokenBatch) -> torch.Tensor:
        mask = np.arange(batch.lengths[0]) < batch.lengths[:, None]
        ids = np.full(mask.shape, self._pad_id, np.int64)
        ids[mask] = batch.ids
        hidden: torch.Tensor = self._model(
            input_ids=self._send(ids),
            attention_mask=self._send(mask.astype(np.int64)),
        ).last_hidden_state
        return hidden[self._send(mask)]

    def _send(self, array: NDArray[Any]) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type == "cuda":  # pinned memory is copied while the device computes
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor
