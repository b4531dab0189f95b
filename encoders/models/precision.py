"""Which numbers a device computes with, and what a processor has for them."""

from __future__ import annotations

from typing import Literal

import torch

__all__ = ["Precision", "choose_precision", "instruction_set"]

Precision = Literal["float32", "bfloat16", "int8"]

#: The processor's extensions, the fastest first, with the names they go by.
_EXTENSIONS = {
    "amx_bf16": "AMX-BF16",
    "avx512_bf16": "AVX512-BF16",
    "avx512_vnni": "AVX512-VNNI",
    "avx512_f": "AVX512",
    "avx2": "AVX2",
}


def choose_precision(asked: Precision | Literal["auto"], device: torch.device) -> Precision:
    """bfloat16 where the device multiplies it in hardware, else float32, unless told otherwise.

    A processor without AMX or AVX512-BF16 emulates bfloat16, up to a hundred times slower.
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    has = torch.cpu.get_capabilities()
    return "bfloat16" if has.get("amx_bf16") or has.get("avx512_bf16") else "float32"


def instruction_set() -> str:
    """The processor's widest extension for matrix products, in the words of its makers."""
    has = torch.cpu.get_capabilities()
    return next((name for key, name in _EXTENSIONS.items() if has.get(key)), "no AVX2")
