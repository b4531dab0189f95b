"""Linear layers whose weights lie as the processor's matrix product reads them.

PyTorch hands oneDNN a weight as it was saved, and oneDNN lays it out anew in every call. Laid out
once, as torch.compile does for a model that it freezes, a product takes an eighth less time in
bfloat16 and a sixth less in float32 (``python -m benchmarks --area encoders``), with equal results.
"""

from __future__ import annotations

import logging
import platform
from functools import cache

import torch
from torch import nn

__all__ = ["can_prepack", "prepack"]

logger = logging.getLogger(__name__)

#: Of the layer that it is tried with.
_TRIAL_WIDTH = 64
#: Rows that are one block to most kernels of oneDNN. With more it may cut long sums elsewhere (seen
#: with AMX: sums of 1,536 numbers of 33 to 500 rows), and in bfloat16 another order of adding is
#: seen in the third digit.
_BLOCK = 32
#: Numbers of rows that are held against the last one, which is as many as a batch has or more.
_TRIED_ROWS = (8, 17, _BLOCK, 33, 64, 100, 128, 200, 256, 300, 400, 500, 700, 1000, 1500, 2048)


@torch.inference_mode()
def can_prepack(device: torch.device, dtype: torch.dtype = torch.float32) -> bool:
    """Whether oneDNN multiplies by weights laid out before, on this device and with these numbers.

    Tried: on a processor without AVX512 it refuses to lay out weights of bfloat16, for one.
    """
    if not (
        device.type == "cpu"
        and platform.machine() in {"x86_64", "AMD64"}
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    ):
        return False
    layer = nn.Linear(_TRIAL_WIDTH, _TRIAL_WIDTH, dtype=dtype)
    inputs = torch.eye(_TRIAL_WIDTH, dtype=dtype)
    try:
        found = _Prepacked(layer)(inputs)
    except RuntimeError as error:
        logger.info("weights stay as they are: oneDNN does not lay out %s here (%s)", dtype, error)
        return False
    return torch.allclose(found, layer(inputs), rtol=0.01, atol=0.01)


def prepack(model: nn.Module) -> None:
    """Replace a model's linear layers, in place; the weights as they were are let go."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, _Prepacked(child))


class _Prepacked(nn.Module):
    """``x Wᵀ + b``, in the weight's own numbers."""

    def __init__(self, linear: nn.Linear, *, tried: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        given = linear.weight.detach()
        #: Models ask their layers' weights for the type of their numbers, and for nothing else.
        self.weight = given.new_empty(0)
        self._weight = torch.ops.mkldnn._reorder_linear_weight(given)  # noqa: SLF001 # torch.compile's own
        given_bias: torch.Tensor | None = linear.bias
        self._bias = None if given_bias is None else given_bias.detach()
        self._in_blocks_below = 0
        if tried and given.dtype != torch.float32:
            self._in_blocks_below = _steady_from(given.dtype, self.in_features, self.out_features)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The product; of a row the same whatever other rows there are, where that can be had."""
        if _BLOCK < inputs.numel() // self.in_features < self._in_blocks_below:
            rows = inputs.reshape(-1, self.in_features)
            blocks = [self._product(block) for block in torch.split(rows, _BLOCK)]
            return torch.cat(blocks).view(*inputs.shape[:-1], self.out_features)
        return self._product(inputs)

    def _product(self, inputs: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001 # see above
            inputs, self._weight, self._bias, "none", [], ""
        )
        return product


@cache
@torch.inference_mode()
def _steady_from(dtype: torch.dtype, width: int, outputs: int) -> int:
    """Of how many rows on a row's product is the same, to the bit, as among very many.

    0 where it always is; or never, in blocks neither: some sizes of layers have no steady sums on a
    processor with AMX, and their vectors depend on the batch as bfloat16 rounds.
    """
    layer = _Prepacked(nn.Linear(width, outputs, dtype=torch.float32).to(dtype), tried=False)
    drawn = torch.Generator().manual_seed(0)
    rows = torch.randn(_TRIED_ROWS[-1], width, generator=drawn).to(dtype)
    many = layer(rows)
    same = [torch.equal(layer(rows[:few]), many[:few]) for few in _TRIED_ROWS]
    if all(same) or not all(same[: _TRIED_ROWS.index(_BLOCK) + 1]):
        return 0
    last = max(place for place, one in enumerate(same) if not one)
    return _TRIED_ROWS[last + 1]
