"""Tiny models with random weights, in folders as their makers would publish them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    ConvBertConfig,
    ConvBertModel,
    FNetConfig,
    FNetModel,
    Gemma3TextConfig,
    Gemma3TextModel,
    MistralConfig,
    MistralModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    NystromformerConfig,
    NystromformerModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    XLMRobertaConfig,
    XLMRobertaModel,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["ARCHITECTURES", "SEE_PADDING", "TEXTS", "WORDS", "make_folder", "write"]

WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[END]", *"abcdefghijklmnop", "query", "passage", ":",
]  # fmt: skip
#: Of many lengths, some of one; the last is longer than the windows of the models that have one.
TEXTS = [
    "a b c", "d", "a a a a a a a a a a", "e f", "b", "c d e f", "g h i j k l m n o p",
    "p o n m l k j i", "b a", "a b c d e f g h " * 4,
]  # fmt: skip
_SIZES: dict[str, Any] = {
    "vocab_size": len(WORDS),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    # Large, so that what a token attends to shows in its vector.
    "initializer_range": 0.4,
}
_DECODER = {**_SIZES, "num_key_value_heads": 2, "head_dim": 8}


def _modules() -> dict[str, Any]:
    torch.manual_seed(0)
    # transformers leaves these unannotated
    classes: dict[str, tuple[Any, Any]] = {
        "bert": (BertModel, BertConfig(**_SIZES)),
        "xlm-roberta": (XLMRobertaModel, XLMRobertaConfig(**_SIZES)),
        "mpnet": (MPNetModel, MPNetConfig(**_SIZES)),
        "modernbert": (ModernBertModel, ModernBertConfig(**_SIZES, local_attention=16)),
        "qwen3": (Qwen3Model, Qwen3Config(**_DECODER)),
        "mistral": (MistralModel, MistralConfig(**_DECODER, sliding_window=16)),
        "gemma3": (
            Gemma3TextModel,
            Gemma3TextConfig(**_DECODER, sliding_window=16, use_bidirectional_attention=True),
        ),
        "fnet": (FNetModel, FNetConfig(**_SIZES)),
        "convbert": (ConvBertModel, ConvBertConfig(**_SIZES, embedding_size=32)),
        "nystromformer": (NystromformerModel, NystromformerConfig(**_SIZES)),
    }
    return {name: (kind, config) for name, (kind, config) in classes.items()}


#: Whose vectors change with padding: sentence-transformers' own depend on the batch.
SEE_PADDING = ("fnet", "convbert", "nystromformer")
ARCHITECTURES = tuple(name for name in _modules() if name not in SEE_PADDING)
_DECODERS = {"qwen3", "mistral", "gemma3"}


def write(file: Path, value: Any) -> None:
    """As JSON; makes the folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")


def make_folder(
    folder: Path,
    architecture: str = "bert",
    *,
    pooling: dict[str, Any] | None = None,
    modules: Sequence[str] = (),
    said: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
) -> Path:
    """A sentence-transformers folder.

    Args:
        folder: made.
        architecture: of `ARCHITECTURES` or `SEE_PADDING`.
        pooling: ``1_Pooling/config.json``; the mean by default.
        modules: further ones, in order: Dense, LayerNorm, Normalize.
        said: ``config_sentence_transformers.json``.
        limits: ``sentence_bert_config.json``.
    """
    kind, config = _modules()[architecture]
    kind(config).save_pretrained(folder)
    _tokenizer(decoder=architecture in _DECODERS).save_pretrained(folder)
    width = _SIZES["hidden_size"]
    pooling = {"pooling_mode_mean_tokens": True} if pooling is None else pooling
    write(folder / "1_Pooling/config.json", {"word_embedding_dimension": width, **pooling})
    modes = pooling.get("pooling_mode", "")
    width *= len(modes) if isinstance(modes, list) else 1
    chain = [("", "Transformer"), ("1_Pooling", "Pooling")]
    for number, name in enumerate(modules, start=2):
        path = folder / f"{number}_{name}"
        path.mkdir()
        chain.append((path.name, name))
        width = _write_module(path, name, width)
    package = "sentence_transformers.models"
    write(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"{package}.{name}"}
            for i, (path, name) in enumerate(chain)
        ],
    )
    if said is not None:
        write(folder / "config_sentence_transformers.json", said)
    if limits is not None:
        write(folder / "sentence_bert_config.json", limits)
    return folder


def _tokenizer(*, decoder: bool) -> Any:
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    template = "$A [END]" if decoder else "[CLS] $A [SEP]"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("[CLS]", 2), ("[SEP]", 3), ("[END]", 4)]
    )
    # As MiniLM's tokenizer.json does: settings that an encoder must replace.
    tokenizer.enable_padding(length=32)
    tokenizer.enable_truncation(8)
    fast: Any = PreTrainedTokenizerFast
    return fast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", eos_token="[END]", padding_side="left" if decoder else "right",
        model_max_length=60,
    )  # fmt: skip


def _write_module(path: Path, name: str, width: int) -> int:
    if name == "Dense":
        wider = width + 8
        write(
            path / "config.json",
            {
                "in_features": width,
                "out_features": wider,
                "bias": True,
                "activation_function": "torch.nn.modules.activation.Tanh",
            },
        )
        linear = torch.nn.Linear(width, wider)
        weights = {f"linear.{key}": value for key, value in linear.state_dict().items()}
        save_file(weights, path / "model.safetensors")
        return wider
    if name == "LayerNorm":
        write(path / "config.json", {"dimension": width})
        weights = {"norm.weight": torch.rand(width) + 0.5, "norm.bias": torch.rand(width)}
        save_file(weights, path / "model.safetensors")
    return width
