"""Linear layers in eight-bit integers, for processors with VNNI or AMX-INT8.

Weights have a scale for each output, activations one for each token, found as they come: with one
scale for a whole batch, as PyTorch's dynamic quantisation has it, a text's vector would depend on
its neighbours, and lose far more (cosine 0.94 to float32).
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from torch import nn

__all__ = ["to_int8"]

_LARGEST = 127.0


def to_int8(model: nn.Module) -> None:
    """Replace a float32 model's linear layers, in place."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, _Int8Linear(child))


class _Int8Linear(nn.Module):
    """``x Wᵀ + b`` with the product in integers; float32 in and out."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scales = weight.abs().amax(1).clamp(min=1e-12) / _LARGEST
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._weight = (weight / scales[:, None]).round().to(torch.int8).T.contiguous()
        self._scales = scales.numpy()
        given: torch.Tensor | None = linear.bias
        bias = torch.zeros(len(scales)) if given is None else given.detach().float()
        self._bias = bias.numpy()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        rows = inputs.reshape(-1, self.in_features).contiguous()
        whole = torch.empty(rows.shape, dtype=torch.int8)
        steps = np.empty(len(rows), np.float32)
        _quantise(rows.numpy(), whole.numpy(), steps)
        products = torch._int_mm(whole, self._weight)  # noqa: SLF001 # as torchao calls it
        out = torch.empty(products.shape, dtype=torch.float32)
        _scale(products.numpy(), steps, self._scales, self._bias, out.numpy())
        return out.view(*inputs.shape[:-1], self.out_features)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _quantise(rows, whole, steps):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Each row over its largest number, times 127, rounded; ``steps`` is what one stands for."""
    for row in range(rows.shape[0]):
        largest = np.float32(1e-12)
        for column in range(rows.shape[1]):
            largest = max(largest, abs(rows[row, column]))
        step = largest / np.float32(_LARGEST)
        steps[row] = step
        per = np.float32(1.0) / step
        for column in range(rows.shape[1]):
            whole[row, column] = np.int8(math.floor(rows[row, column] * per + np.float32(0.5)))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _scale(products, steps, scales, bias, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for row in range(products.shape[0]):
        step = steps[row]
        for column in range(products.shape[1]):
            out[row, column] = products[row, column] * step * scales[column] + bias[column]
