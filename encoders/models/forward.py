"""One batch through a model: packed where the architecture allows it, padded where not."""

from __future__ import annotations

import threading
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

#: Tokens of the narrowest shape that a compiled model is given.
_NARROWEST = 16


class Forward:
    """Tokens to unit vectors on one device.

    Args:
        model: of transformers, in evaluation mode, on the device.
        heads: what is done to pooled vectors, on the device.
        pooling: how they are pooled.
        prompt_tokens: at the start of each text.
        pad_id: any token; it is masked.
        dim: of the vectors; what the heads give is cut to its first components.
        longest_packed: a longer text is padded: beyond this many tokens the model attends within a
            window.
        varlen: on CUDA, whether attention over packed texts is one call of FlashAttention.

    Attributes:
        first_position: the position of a text's first token, where packing was shown to be equal;
            None, as at first, where not: texts are padded then.
        pads: whether padding was shown to be equal; where not, texts are computed with others of
            their own length alone. True at first.
        shapes: where the model was compiled, the tokens of a batch: it is then padded to one of a
            few shapes, since each new one is compiled again. None, as at first, where not.
        padding: tokens computed to fill up batches, since it was made.
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
        longest_packed: int,
        varlen: bool = True,
    ) -> None:
        self.device: torch.device = model.device
        self.first_position: int | None = None
        self.pads = True
        self.shapes: int | None = None
        self.padding = 0
        self._model = model
        self._heads = heads
        self._pooling = pooling
        self._prompt_tokens = prompt_tokens
        self._pad_id = pad_id
        self._dim = dim
        self._longest_packed = longest_packed
        self._widest = longest_packed
        self._varlen = varlen
        self._counting = threading.Lock()

    def compile(self, mode: str, batch_tokens: int, max_tokens: int) -> None:
        """Have torch compile the model; ``reduce-overhead`` records CUDA graphs."""
        self._widest = max_tokens
        self._model = torch.compile(self._model, mode=mode, dynamic=False)
        self.shapes = batch_tokens

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
        ends = None
        if self._varlen and self.device.type == "cuda":
            ends = self._send(np.concatenate([[0], np.cumsum(batch.lengths)]).astype(np.int32))
        with packed(batch.groups, ends):
            hidden: torch.Tensor = self._model(
                input_ids=self._send(batch.ids[None]),
                position_ids=self._send((positions + self.first_position)[None]),
            ).last_hidden_state[0]
        return hidden

    def _padded(self, batch: TokenBatch) -> torch.Tensor:
        if not self.pads:
            return torch.cat(
                [
                    self._rectangle(
                        batch.ids[start : start + count * length],
                        np.full(count, length),
                        count,
                        length,
                    )
                    for start, count, length in batch.groups
                ]
            )
        width = int(batch.lengths[0])
        if self.shapes is None:
            return self._rectangle(batch.ids, batch.lengths, len(batch.lengths), width)
        width = min(max(_NARROWEST, 1 << (width - 1).bit_length()), self._widest)
        rows = max(1, self.shapes // width)
        ends = np.concatenate([[0], np.cumsum(batch.lengths)])
        return torch.cat(
            [
                self._rectangle(
                    batch.ids[ends[first] : ends[min(first + rows, len(batch.lengths))]],
                    batch.lengths[first : first + rows],
                    rows,
                    width,
                )
                for first in range(0, len(batch.lengths), rows)
            ]
        )

    def _rectangle(
        self, ids: NDArray[np.int64], lengths: NDArray[np.int64], rows: int, width: int
    ) -> torch.Tensor:
        """``(t, d)`` of texts that are padded to this many rows and tokens."""
        with self._counting:
            self.padding += rows * width - len(ids)
        real = np.zeros((rows, width), np.bool_)
        real[: len(lengths)] = np.arange(width) < lengths[:, None]
        padded = np.full(real.shape, self._pad_id, np.int64)
        padded[real] = ids
        mask = real.astype(np.int64)
        mask[len(lengths) :, 0] = 1  # a row that attends to nothing would be no number
        hidden: torch.Tensor = self._model(
            input_ids=self._send(padded), attention_mask=self._send(mask)
        ).last_hidden_state
        return hidden[self._send(real)]

    def _send(self, array: NDArray[Any]) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type == "cuda":  # pinned memory is copied while the device computes
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor
