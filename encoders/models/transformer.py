"""Transformer models as a `TextEncoder`."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from tokenizers import normalizers

from encoders.errors import DeviceMemoryError, EncodingFailedError, ModelUnsupportedError
from encoders.models.batches import plan_batches
from encoders.models.folder import read_folder
from encoders.models.forward import Forward
from encoders.models.hub import locate
from encoders.models.int8 import to_int8
from encoders.models.lanes import Lanes
from encoders.models.loading import (
    UNLIMITED,
    find_packing,
    load_model,
    longest_packed,
    padding_position,
)
from encoders.models.pooling import build_heads
from encoders.models.precision import choose_precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from encoders.models.batches import TokenBatch
    from encoders.models.folder import ModelFolder
    from encoders.models.precision import Precision

__all__ = ["TransformerEncoder"]

logger = logging.getLogger(__name__)

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
        name: first part of `encoder_id`; by default the last part of `model`.

    Attributes:
        texts_done: texts encoded since it was made.
        texts_cut: texts that were longer than ``max_tokens``.

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
        name: str | None = None,
    ) -> None:
        if batch_tokens < 1:
            raise ValueError(f"batch_tokens must be at least 1, got {batch_tokens}")
        self.texts_done = 0
        self.texts_cut = 0
        self._counting = threading.Lock()
        self._batch_tokens = batch_tokens
        self._device = _device(device)
        folder = read_folder(locate(model))
        self.precision = choose_precision(precision, self._device)
        if self.precision == "int8" and self._device.type != "cpu":
            raise ModelUnsupportedError(
                f"precision int8 runs on the CPU, not on {self._device}; supported there: "
                "bfloat16, float32"
            )
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        tokenizer, transformer = load_model(folder.path, dtype)
        self._prompt = folder.prompt(prompt_name) if prompt is None else prompt
        self._max_tokens = _max_tokens(max_tokens, model, folder, tokenizer, transformer)
        self._pad_id = int(tokenizer.pad_token_id or 0)
        self._tokenizer = _prepared(tokenizer, folder, self._max_tokens)

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
            prompt_tokens=_prompt_tokens(self._prompt, tokenizer),
            pad_id=self._pad_id,
            dim=self._dim,
            first_position=None,
            longest_packed=longest_packed(transformer),
        )
        self._forward.first_position = find_packing(
            self._forward, transformer, self._tokenise(_TRIAL)
        )
        if self.precision == "int8":  # after it was tried what packing does to float32
            to_int8(transformer)
        self._lanes = _lanes(self._device, threads, transformer.num_parameters())
        name = re.sub(r"[^\w.-]+", "-", name or Path(model).resolve().name)
        fingerprint = folder.fingerprint(
            max_tokens=self._max_tokens, dim=self._dim, prompt=self._prompt
        )
        self._encoder_id = f"{name}:{fingerprint}:{self.precision}"
        self.encode(_TRIAL * self._lanes.count)  # the first call of a kernel takes longer
        self.texts_done = 0

    @property
    def encoder_id(self) -> str:
        """``name:fingerprint:precision``.

        The fingerprint is over weights, tokenizer, pooling, heads, prompt, max_tokens and dim.
        """
        return self._encoder_id

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

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
                token_ids = self._tokenise(texts[start : start + _TEXTS_AT_ONCE])
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
        found = self._tokenizer.encode(self._prompt + text)
        return list(found.tokens), bool(found.overflowing)

    def _tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        try:
            found = self._tokenizer.encode_batch_fast([self._prompt + text for text in texts])
        except Exception as error:  # the Rust tokenizer has no base class of its own
            raise EncodingFailedError(f"the tokenizer failed: {error}") from error
        cut = sum(bool(one.overflowing) for one in found)
        if cut:
            with self._counting:
                self.texts_cut += cut
        # Some tokenizers give nothing for a text of blanks; a model needs one token.
        return [one.ids or [self._pad_id] for one in found]

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
            return UNLIMITED
        # Outside the except block: the error's traceback keeps the batch's tensors alive.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        budget = max(1, len(batch.ids) // 2)
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


def _max_tokens(
    asked: int | None, model: str, folder: ModelFolder, tokenizer: Any, transformer: Any
) -> int:
    positions = getattr(transformer.config, "max_position_embeddings", None)
    if positions:  # RoBERTa and its like begin after the padding token's
        positions -= padding_position(transformer) + 1
    limits = [v for v in (positions, tokenizer.model_max_length) if v and v < UNLIMITED]
    largest = min(limits, default=UNLIMITED)
    smallest = tokenizer.num_special_tokens_to_add() + 1
    chosen = min(folder.max_tokens or 512, largest) if asked is None else asked
    if not smallest <= chosen <= largest:
        raise ModelUnsupportedError(
            f"max_tokens={chosen} is out of range for {model}: allowed {smallest} to {largest}"
        )
    return chosen


def _prepared(tokenizer: Any, folder: ModelFolder, max_tokens: int) -> Any:
    """The tokenizer itself, without the settings of its own that tokenizer.json may ship.

    MiniLM's has padding, and truncation to 128.
    """
    prepared = tokenizer.backend_tokenizer
    prepared.no_padding()
    prepared.enable_truncation(max_tokens)
    if folder.lower_case:
        before = [] if prepared.normalizer is None else [prepared.normalizer]
        prepared.normalizer = normalizers.Sequence([normalizers.Lowercase(), *before])
    return prepared


def _prompt_tokens(prompt: str, tokenizer: Any) -> int:
    """Tokens that a prompt puts before a text; a special token that ends a text is not its own."""
    if not prompt:
        return 0
    ids = tokenizer.backend_tokenizer.encode(prompt).ids
    return len(ids) - (bool(ids) and ids[-1] in tokenizer.all_special_ids)


def _dim(asked: int | None, width: int, model: str) -> int:
    if asked is not None and not 1 <= asked <= width:
        raise ModelUnsupportedError(
            f"truncate_dim={asked} is out of range for {model}: its vectors have {width} numbers"
        )
    return asked or width


def _lanes(device: torch.device, threads: int | None, parameters: int) -> Lanes:
    if device.type == "cuda":
        return Lanes(2, threads or 1, device)
    threads = threads or torch.get_num_threads()
    return Lanes(1, threads, device) if parameters > _LARGE else Lanes(threads, 1, device)
