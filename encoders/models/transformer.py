"""Transformer models as a `TextEncoder`."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from encoders.errors import DeviceMemoryError, EncodingFailedError, ModelUnsupportedError
from encoders.models.batches import plan_batches
from encoders.models.folder import read_folder
from encoders.models.forward import Forward
from encoders.models.hub import locate
from encoders.models.int8 import to_int8
from encoders.models.lanes import Lanes
from encoders.models.loading import (
    UNLIMITED,
    find_layout,
    load_model,
    longest_packed,
)
from encoders.models.pooling import build_heads
from encoders.models.precision import choose_precision
from encoders.models.prepacked import can_prepack, prepack
from encoders.models.tokenising import Tokenising

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from encoders.models.batches import TokenBatch
    from encoders.models.precision import Precision

__all__ = ["CompileMode", "TransformerEncoder"]

logger = logging.getLogger(__name__)

CompileMode = Literal["off", "default", "reduce-overhead", "max-autotune"]

_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|alloc_failed", re.IGNORECASE)
#: Texts that are tokenised before the first of their batches is handed on.
_TEXTS_AT_ONCE = 2_048
#: Weights beyond which a processor's cores work on one batch together: a batch alone then takes
#: long enough to be waited for.
_LARGE = 300_000_000
#: Of different lengths, and two of one: what packing is tried on, and what warms the device up.
_TRIAL = (
    "one",
    "a second text, which is longer",
    "another",
    "and one more that has a good many more words than any of the others, to tell them apart",
)


class TransformerEncoder:
    """A transformer by its published conventions: tokens, pooling, heads, L2.

    It may be called from several threads: while one call's batches are computed, another's texts
    are turned to tokens.

    Args:
        model: a folder, or a name on the Hugging Face hub; a copy in the hub's cache is used
            before the network is.
        max_tokens: texts are cut to this many tokens, special ones and the prompt included; by
            default what the folder says, else 512; never more than the model has positions.
        batch_tokens: budget of a batch in tokens; a longer text is a batch of its own.
        device: a torch device; ``auto`` is CUDA where there is one, else the CPU.
        threads: of torch; by default as many as there are processors to run on.
        precision: of the transformer's numbers; ``auto`` is bfloat16 where the device has it in
            hardware, else float32; ``int8`` of its linear layers, on the CPU. Pooling and what
            follows are in float32.
        prompt: put before each text.
        prompt_name: or the name of one that the model's makers chose; by default their default.
        truncate_dim: keep this many components (Matryoshka); by default what the folder says.
        compile_mode: of ``torch.compile``; ``reduce-overhead`` records CUDA graphs. Texts are then
            padded to a few shapes, each of which takes up to a minute at first. ``off`` by
            default: on a CPU it gains less than packing does.
        varlen: on CUDA, whether attention over packed texts is one call of FlashAttention.
        name: first part of `encoder_id`; by default the last part of `model`.

    Attributes:
        texts_done: texts encoded since it was made.
        tokens_done: and their tokens.

    Raises:
        ModelNotFoundError: the model, or a file of it, is not there.
        ModelUnsupportedError: the model or an argument asks for what is not supported.
    """

    def __init__(
        self,
        model: str,
        *,
        max_tokens: int | None = None,
        batch_tokens: int = 2048,
        device: str = "auto",
        threads: int | None = None,
        precision: Precision | Literal["auto"] = "auto",
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
        compile_mode: CompileMode = "off",
        varlen: bool = True,
        name: str | None = None,
    ) -> None:
        if batch_tokens < 1:
            raise ValueError(f"batch_tokens must be at least 1, got {batch_tokens}")
        self.texts_done = self.tokens_done = 0
        self._counting = threading.Lock()
        self._batch_tokens = batch_tokens
        self._device = _device(device)
        folder = read_folder(locate(model))
        self.precision = choose_precision(precision, self._device)
        if self.precision == "int8" and compile_mode != "off":
            raise ModelUnsupportedError(
                f"precision int8 and compile_mode {compile_mode} do not go together: the products "
                "of int8 are compiled already; use compile_mode off, or another precision"
            )
        if self.precision == "int8" and self._device.type != "cpu":
            raise ModelUnsupportedError(
                f"precision int8 runs on the CPU, not on {self._device}; supported there: "
                "bfloat16, float32"
            )
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        tokenizer, transformer = load_model(folder.path, dtype)
        self._tokenising = Tokenising(
            tokenizer,
            transformer,
            folder,
            prompt=folder.prompt(prompt_name) if prompt is None else prompt,
            max_tokens=max_tokens,
        )
        heads, width = build_heads(
            folder.heads, transformer.config.hidden_size * len(folder.pooling.modes)
        )
        asked = folder.truncate_dim if truncate_dim is None else truncate_dim
        self._dim = _dim(asked, width, model)
        transformer.to(self._device)
        self._forward = Forward(
            transformer,
            heads.to(self._device),
            folder.pooling,
            prompt_tokens=self._tokenising.prompt_tokens,
            pad_id=self._tokenising.pad_id,
            dim=self._dim,
            longest_packed=longest_packed(transformer),
            varlen=varlen,
        )
        longest = longest_packed(transformer)
        trial = [ids[:longest] for ids in self._tokenising.ids(_TRIAL)]
        find_layout(self._forward, transformer, trial, pack=compile_mode == "off")
        if compile_mode != "off":
            if not self._forward.pads:
                raise ModelUnsupportedError(
                    f"compile_mode {compile_mode} pads texts to a few shapes, and padding changes "
                    f"the vectors of {model}; use compile_mode off"
                )
            self._forward.compile(compile_mode, batch_tokens, self._tokenising.max_tokens)
        parameters = transformer.num_parameters()
        if self.precision == "int8":  # after it was tried what packing does to float32
            to_int8(transformer)
        elif compile_mode == "off" and can_prepack(self._device, dtype):
            prepack(transformer)
        compiled = compile_mode != "off"
        self._lanes = _lanes(self._device, threads, parameters, compiled)
        name = re.sub(r"[^\w.-]+", "-", name or Path(model).resolve().name)
        fingerprint = folder.fingerprint(
            tokenizer=self._tokenising.described,
            dim=self._dim,
            prompt=self._tokenising.prompt,
        )
        limit = self._tokenising.max_tokens
        self._encoder_id = f"{name}:{fingerprint}-{limit}:{self.precision}"
        self.encode(_TRIAL * self._lanes.count)  # the first call of a kernel takes longer
        self.texts_done = self.tokens_done = self._tokenising.texts_cut = self._forward.padding = 0
        logger.info(
            "encoder %s: %d components, %s on %s, texts of up to %d tokens %s, %d at a time",
            self._encoder_id, self._dim, self.precision, self._device, self._tokenising.max_tokens,
            self._layout(), self._lanes.count,
        )  # fmt: skip

    @property
    def encoder_id(self) -> str:
        """``name:fingerprint-max_tokens:precision``.

        The fingerprint is over weights, tokenizer, pooling, heads, prompt and dim.
        """
        return self._encoder_id

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

    @property
    def texts_cut(self) -> int:
        """Texts that were longer than ``max_tokens``, since it was made."""
        return self._tokenising.texts_cut

    @property
    def padding_done(self) -> int:
        """Tokens computed to fill up batches, since it was made; none where it packs."""
        return self._forward.padding

    @property
    def device(self) -> str:
        """Where it computes: ``cpu`` or ``cuda:0``."""
        return str(self._device)

    @property
    def packs(self) -> bool:
        """Whether texts are computed end to end, without padding."""
        return self._forward.first_position is not None

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts, in their order.

        Returns:
            ``(n, dim) float32``, rows of norm 1.

        Raises:
            DeviceMemoryError: one text alone does not fit in memory.
            EncodingFailedError: the tokenizer or the model failed.
        """
        vectors = np.empty((len(texts), self._dim), np.float32)
        running = []
        try:
            for start in range(0, len(texts), _TEXTS_AT_ONCE):
                part = vectors[start : start + _TEXTS_AT_ONCE]
                token_ids = self._tokenising.ids(texts[start : start + _TEXTS_AT_ONCE])
                running += [
                    self._lanes.submit(self._run, batch, part)
                    for batch in plan_batches(
                        token_ids, budget=self._batch_tokens, lanes=self._lanes.count
                    )
                ]
            budgets = [batch_done.result() for batch_done in running]
        except BaseException:
            for batch_done in running:
                batch_done.cancel()
            raise
        # Only now: a text that does not fit alone is no reason for smaller batches of others.
        self._batch_tokens = min([self._batch_tokens, *budgets])
        return vectors

    def tokens(self, text: str) -> tuple[list[str], bool]:
        """The tokens of a text, prompt and special ones included, and whether it was cut."""
        return self._tokenising.tokens(text)

    def knows(self, text: str) -> bool:
        """Whether at least half of a text's tokens are in the model's vocabulary."""
        return self._tokenising.knows(text)

    def _layout(self) -> str:
        """How texts lie in a batch, in words."""
        if self.packs:
            return "end to end"
        return "padded" if self._forward.pads else "with others of their length"

    def _run(self, batch: TokenBatch, vectors: NDArray[np.float32]) -> int:
        """In a lane: fill in the rows of a batch's texts; returns the tokens that fit in memory."""
        try:
            vectors[batch.rows] = self._forward(batch).cpu().numpy()
        except Exception as error:
            if not (isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error))):
                raise EncodingFailedError(f"the model failed: {error}") from error
            if len(batch.rows) == 1:
                raise DeviceMemoryError(
                    f"a text of {len(batch.ids)} tokens does not fit in the memory of "
                    f"{self._device}: free memory or lower max_tokens"
                ) from error
        else:
            with self._counting:
                self.texts_done += len(batch.rows)
                self.tokens_done += len(batch.ids)
            return UNLIMITED
        # Outside the except block: the error's traceback keeps the batch's tensors alive.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        budget = max(1, len(batch.ids) // 2)
        if self._forward.shapes is not None:  # a compiled model's batches have its shapes' size
            budget = self._forward.shapes = max(1, self._forward.shapes // 2)
        logger.warning(
            "out of memory on %s: a batch of %d texts, %d tokens; going on with a budget of %d",
            self._device, len(batch.rows), len(batch.ids), budget,
        )  # fmt: skip
        return min(budget, *(self._run(half, vectors) for half in batch.halves()))


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ModelUnsupportedError(
            f"device is {name!r}, and this PyTorch ({torch.__version__}) finds no CUDA "
            "device; use device auto or cpu"
        )
    return torch.device(name)


def _dim(asked: int | None, width: int, model: str) -> int:
    if asked is not None and not 1 <= asked <= width:
        raise ModelUnsupportedError(
            f"truncate_dim={asked} is out of range for {model}: its vectors have {width} numbers"
        )
    return asked or width


def _lanes(device: torch.device, threads: int | None, parameters: int, compiled: bool) -> Lanes:
    if device.type == "cuda":
        # A recorded graph belongs to one thread and writes where it wrote before.
        return Lanes(1 if compiled else 2, threads or 1, device)
    threads = threads or torch.get_num_threads()
    return Lanes(1, threads, device) if parameters > _LARGE else Lanes(threads, 1, device)
