"""Loads a transformer, and finds out by trial how it may be run."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as _transformers_logging

from encoders.errors import ModelUnsupportedError
from encoders.models.batches import plan_batches
from encoders.models.packing import PACKED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from encoders.models.forward import Forward

__all__ = ["UNLIMITED", "find_layout", "load_model", "longest_packed", "padding_position"]

logger = logging.getLogger(__name__)
transformers_logging: Any = _transformers_logging  # its switches have no annotations

#: transformers writes 1e30 where a tokenizer has no limit.
UNLIMITED = 1 << 20

#: Least cosine of a token's vector in a packed batch with the same alone.
_SAME = {torch.float32: 0.99999, torch.bfloat16: 0.999}


def load_model(path: Path, dtype: torch.dtype) -> tuple[PreTrainedTokenizerFast, Any]:
    """The fast tokenizer, and the model in evaluation mode.

    Raises:
        ModelUnsupportedError: it needs code of its own, other files, or lacks weights.
    """
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                str(path), local_files_only=True, trust_remote_code=False
            )
            model, report = AutoModel.from_pretrained(
                str(path),
                dtype=dtype,
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
    model.config.use_cache = False  # of keys and values, for texts that go on
    return tokenizer, model.eval()


def longest_packed(model: Any) -> int:
    """Up to how many tokens every layer of a model sees the whole text."""
    config = model.config.get_text_config()
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return min([window for window in windows if isinstance(window, int)], default=UNLIMITED)


@torch.inference_mode()
def find_layout(forward: Forward, model: Any, token_ids: list[list[int]], *, pack: bool) -> None:
    """Find out in which ways texts may be computed together with the vectors that they have alone.

    Tried, not looked up. Packed: positions from 0, and from where the padding token's own position
    is (RoBERTa and its like); relative positions, shared buckets and other architectures' ways
    show here as another result. Padded: convolutions, Fourier transforms and landmarks see the
    padding too (ConvBERT, FNet, Nyströmformer).

    Args:
        forward: that runs the model; its `pads` and `first_position` are set.
        model: with its own attention; it gets ours where packing is possible.
        token_ids: of a few texts of different lengths, some equal.
        pack: whether to try packing at all.

    Raises:
        ModelUnsupportedError: the model cannot compute even one text.
    """
    try:
        alone = [
            model(input_ids=torch.tensor([ids], device=forward.device)).last_hidden_state[0].float()
            for ids in token_ids
        ]
    except Exception as error:  # architectures fail in ways of their own
        reason = " ".join(str(error).split())[:200]
        raise ModelUnsupportedError(
            f"the model cannot be run in {model.dtype} on {forward.device} ({reason}); another "
            "encoder.precision or encoder.device may do"
        ) from error
    batch = plan_batches(token_ids, budget=sum(map(len, token_ids)))[0]
    expected = torch.cat([alone[row] for row in batch.rows.tolist()])

    def is_equal(how: str) -> bool:
        try:
            found = forward.hidden(batch).float()
        except Exception as error:  # noqa: BLE001 # see above
            logger.debug("%s: not possible: %r", how, error)
            return False
        cosine = torch.nn.functional.cosine_similarity(found, expected, dim=1).min().item()
        logger.debug("%s: cosine %.5f to texts alone", how, cosine)
        return cosine >= _SAME[model.dtype]

    forward.first_position = None
    forward.pads = is_equal("padded")
    if not pack:
        return
    own = model.config._attn_implementation  # noqa: SLF001 # there is no public way to read it
    try:
        model.set_attn_implementation(PACKED)
    except Exception as error:  # noqa: BLE001 # see above
        logger.debug("packing is not possible: %r", error)
        return
    for first in dict.fromkeys((0, padding_position(model) + 1)):
        forward.first_position = first
        if is_equal(f"packed from position {first}"):
            return
    forward.first_position = None
    model.set_attn_implementation(own)


def padding_position(model: Any) -> int:
    """The padding token's own position; -1 where positions begin at 0."""
    for module in model.modules():
        index = getattr(module, "padding_idx", None)
        if isinstance(index, int) and isinstance(
            getattr(module, "position_embeddings", None), torch.nn.Embedding
        ):
            return index
    return -1


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
