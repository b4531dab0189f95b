"""Transformer models on torch: the one module here that imports torch and transformers."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as _transformers_logging

from encoders.errors import (
    DeviceMemoryError,
    EncodingFailedError,
    ModelNotFoundError,
    ModelUnsupportedError,
)
from encoders.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["TransformerEncoder"]

logger = logging.getLogger(__name__)
transformers_logging: Any = _transformers_logging  # its switches have no annotations

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
#: transformers writes 1e30 where a tokenizer has no limit.
_UNLIMITED = 1 << 20
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|alloc_failed", re.IGNORECASE)


class TransformerEncoder:
    """A transformer, mean pooling over the tokens, L2 normalisation; all in float32.

    Args:
        model: a folder, or a name on the Hugging Face hub; a copy in the hub's cache is used
            before the network is.
        max_tokens: texts are cut to this many tokens, special ones included; by default what
            ``sentence_bert_config.json`` says, else 512; never more than the model has positions.
        batch_tokens: budget of a batch in tokens, padding included; a longer text is a batch of
            its own.
        device: a torch device; ``auto`` is CUDA where there is one, else the CPU.
        threads: for torch in this process; by default torch's own choice.
        name: first part of `encoder_id`; by default the last part of `model`.

    Raises:
        ModelNotFoundError: the model, or a file of it, is not there.
        ModelUnsupportedError: the model or `max_tokens` asks for what is not supported.
    """

    def __init__(
        self,
        model: str,
        *,
        max_tokens: int | None = None,
        batch_tokens: int = 2048,
        device: str = "auto",
        threads: int | None = None,
        name: str | None = None,
    ) -> None:
        if batch_tokens < 1:
            raise ValueError(f"batch_tokens must be at least 1, got {batch_tokens}")
        if threads is not None:
            torch.set_num_threads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ModelUnsupportedError(
                f"device is {device!r}, and this PyTorch ({torch.__version__}) finds no CUDA "
                "device; use device auto or cpu"
            )
        self.texts_done = 0
        folder = read_folder(_locate(model))
        self._device = torch.device(device)
        self._batch_tokens = batch_tokens
        tokenizer, self._model = _load(folder.path)
        self._model.to(self._device)
        self._dim = int(self._model.config.hidden_size)
        self._pad_id = int(tokenizer.pad_token_id or 0)

        positions = getattr(self._model.config, "max_position_embeddings", None)
        limits = [v for v in (positions, tokenizer.model_max_length) if v and v < _UNLIMITED]
        largest = min(limits, default=_UNLIMITED)
        smallest = tokenizer.num_special_tokens_to_add() + 1
        asked = min(folder.max_tokens or 512, largest) if max_tokens is None else max_tokens
        if not smallest <= asked <= largest:
            raise ModelUnsupportedError(
                f"max_tokens={asked} is out of range for {model}: allowed {smallest} to {largest}"
            )
        # tokenizer.json may ship settings of its own (MiniLM: padding and truncation to 128).
        self._tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(asked)
        name = re.sub(r"[^\w.-]+", "-", name or Path(model).resolve().name)
        fingerprint = folder.fingerprint(max_tokens=asked, dim=self._dim, precision="float32")
        self._encoder_id = f"{name}:{fingerprint}"

    @property
    def encoder_id(self) -> str:
        """``name:fingerprint`` over weights, tokenizer, pooling, max_tokens, dim and precision."""
        return self._encoder_id

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts, in their order.

        Returns:
            ``(n, dim) float32``, rows of norm 1.

        Raises:
            DeviceMemoryError: one text alone does not fit in memory.
            EncodingFailedError: the tokenizer or the model failed.
        """
        vectors = np.empty((len(texts), self._dim), np.float32)
        try:
            ids = [found.ids for found in self._tokenizer.encode_batch_fast(list(texts))]
        except Exception as error:  # the Rust tokenizer has no base class of its own
            raise EncodingFailedError(f"the tokenizer failed: {error}") from error
        # Longest first: a batch is as wide as its first text, and memory runs out early if at all.
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        budget = self._batch_tokens
        done = 0
        while done < len(order):
            width = max(1, len(ids[order[done]]))
            rows = order[done : done + max(1, budget // width)]
            try:
                vectors[rows] = self._forward([ids[row] for row in rows])
            except Exception as error:
                if not (isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error))):
                    raise EncodingFailedError(f"the model failed: {error}") from error
                if len(rows) == 1:
                    raise DeviceMemoryError(
                        f"a text of {width} tokens does not fit in the memory of {self._device}: "
                        "free memory or lower max_tokens"
                    ) from error
                budget = min(budget, len(rows) * width) // 2
                logger.warning(
                    "out of memory on %s: a batch of %d texts of up to %d tokens; going on with a "
                    "budget of %d tokens",
                    self._device, len(rows), width, budget,
                )  # fmt: skip
            else:
                done += len(rows)
                self.texts_done += len(rows)
                continue
            # Outside the except block: the error's traceback keeps the batch's tensors alive.
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        self._batch_tokens = budget
        return vectors

    @torch.inference_mode()
    def _forward(self, batch: list[list[int]]) -> NDArray[np.float32]:
        """Token ids of b texts to ``(b, dim) float32`` unit rows."""
        lengths = np.array([len(ids) for ids in batch])
        mask = np.arange(max(1, lengths.max())) < lengths[:, None]
        padded = np.full(mask.shape, self._pad_id, np.int64)
        padded[mask] = np.concatenate(batch)
        attention = torch.from_numpy(mask.astype(np.int64)).to(self._device)
        hidden = self._model(
            input_ids=torch.from_numpy(padded).to(self._device), attention_mask=attention
        ).last_hidden_state
        weights = attention.unsqueeze(-1).float()
        pooled = (hidden.float() * weights).sum(1) / weights.sum(1).clamp(min=1.0)
        unit: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return unit


def _locate(model: str) -> Path:
    """The folder of a model; downloads a hub name that is not in the hub's cache."""
    folder = Path(model).expanduser()
    if folder.exists() or model.startswith((".", "/", "~")) or not _HUB_NAME.fullmatch(model):
        return folder
    try:
        return read_folder(
            Path(snapshot_download(model, allow_patterns=_HUB_FILES, local_files_only=True))
        ).path
    except (OSError, ValueError, ModelNotFoundError):
        logger.info("%s is not in the hub's cache: downloading", model)
    try:
        return Path(
            snapshot_download(
                model, allow_patterns=_HUB_FILES, ignore_patterns=["onnx/*", "openvino/*"]
            )
        )
    except Exception as error:  # the hub's client raises its own, httpx's and the system's errors
        reason = str(error).partition("\n")[0]
        raise ModelNotFoundError(
            f"{model} is neither a folder, nor in the hub's cache, nor could it be downloaded "
            f"({reason}): check the name and the network, or name a local folder"
        ) from error


def _load(path: Path) -> tuple[PreTrainedTokenizerFast, Any]:
    """The fast tokenizer and the model in evaluation mode, float32."""
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                str(path), local_files_only=True, trust_remote_code=False
            )
            model, report = AutoModel.from_pretrained(
                str(path),
                dtype=torch.float32,
                local_files_only=True,
                output_loading_info=True,
                trust_remote_code=False,
                use_safetensors=True,
            )
    except Exception as error:  # transformers raises whatever its parts raise
        reason = " ".join(str(error).split())[:300]
        raise ModelUnsupportedError(
            f"the model in {path} cannot be loaded ({reason}); supported: models that transformers "
            "knows without remote code, with whole safetensors and a fast tokenizer"
        ) from error
    # Weights that are absent would be drawn at random; the pooler alone is never used.
    if absent := sorted(k for k in report["missing_keys"] if not k.startswith("pooler.")):
        raise ModelUnsupportedError(
            f"the weights in {path} lack {len(absent)} tensors, {absent[0]} among them"
        )
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelUnsupportedError(f"the tokenizer in {path} is a slow one; supported: fast ones")
    return tokenizer, model.eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and load reports."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
