"""What follows the transformer in a sentence-transformers folder; read without torch.

The file names and keys are those of sentence-transformers 6.2 (``base/modules``,
``sentence_transformer/modules``) and of the releases before it, back to 2.0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from encoders.errors import ModelNotFoundError, ModelUnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "ACTIVATIONS",
    "POOLING_MODES",
    "DenseSpec",
    "HeadSpec",
    "LayerNormSpec",
    "NormalizeSpec",
    "PoolingSpec",
    "read_dense",
    "read_json",
    "read_layer_norm",
    "read_pooling",
]

#: In the order in which vectors of several modes are joined.
POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")

#: Classes of ``torch.nn`` that a dense layer may name.
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")


@dataclass(frozen=True, slots=True)
class PoolingSpec:
    """How the tokens' vectors become one.

    Attributes:
        modes: of `POOLING_MODES`; the vectors of several are joined.
        include_prompt: whether the prompt's own tokens count.
    """

    modes: tuple[str, ...] = ("mean",)
    include_prompt: bool = True


@dataclass(frozen=True, slots=True)
class DenseSpec:
    """``activation(W x + b)``, with a residual where asked for; `weights` is a safetensors file."""

    weights: Path
    in_features: int
    out_features: int
    bias: bool
    activation: str
    residual: bool


@dataclass(frozen=True, slots=True)
class LayerNormSpec:
    """Layer normalisation of the pooled vector."""

    weights: Path
    dimension: int


@dataclass(frozen=True, slots=True)
class NormalizeSpec:
    """L2 normalisation."""


HeadSpec = DenseSpec | LayerNormSpec | NormalizeSpec


def read_json(file: Path, kind: type[Any]) -> Any:
    """A settings file.

    Raises:
        ModelUnsupportedError: it cannot be read, is not JSON, or holds another kind of value.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnsupportedError(f"{file} cannot be read: {error}") from error
    if not isinstance(value, kind):
        raise ModelUnsupportedError(f"{file} holds a {type(value).__name__}, not a {kind.__name__}")
    return value


def read_pooling(folder: Path, *, named: bool = False) -> PoolingSpec:
    """``config.json`` of a Pooling module.

    Args:
        folder: of the module.
        named: whether ``modules.json`` names it; where not, and there is no file, it is the mean.

    Raises:
        ModelNotFoundError: it is named, and the file is missing.
        ModelUnsupportedError: it names a mode that is not in `POOLING_MODES`.
    """
    file = _required(folder, "config.json") if named else folder / "config.json"
    if not file.is_file():
        return PoolingSpec()
    config = read_json(file, dict)
    said = config.get("pooling_mode")
    if said is None:
        flags = {
            key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token"): value
            for key, value in config.items()
            if key.startswith("pooling_mode_")
        }
        # "mean_sqrt_len_tokens" is a mode with the ending in its name
        chosen = {"mean_sqrt_len_tokens" if n == "mean_sqrt_len" else n for n in flags if flags[n]}
        modes = tuple(mode for mode in POOLING_MODES if mode in chosen) or ("mean",)
        unknown = sorted(chosen - set(POOLING_MODES))
    else:
        modes = tuple(str(mode) for mode in (said if isinstance(said, list) else [said]))
        unknown = sorted(set(modes) - set(POOLING_MODES))
    if unknown or not modes:
        raise ModelUnsupportedError(
            f"{file} asks for {' + '.join(unknown) or 'no'} pooling; "
            f"supported: {', '.join(POOLING_MODES)}"
        )
    return PoolingSpec(modes, bool(config.get("include_prompt", True)))


def read_dense(folder: Path) -> DenseSpec:
    """``config.json`` of a Dense module, and where its weights are.

    Raises:
        ModelNotFoundError: a file is missing.
        ModelUnsupportedError: it asks for what is not supported.
    """
    file = _required(folder, "config.json")
    config = read_json(file, dict)
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    package, _, name = activation.rpartition(".")
    if not package.startswith("torch.nn") or name not in ACTIVATIONS:
        raise ModelUnsupportedError(
            f"{file} asks for the activation {activation}; supported: torch.nn's "
            f"{', '.join(ACTIVATIONS)}"
        )
    key = "sentence_embedding"
    if any(config.get(f"module_{side}_name") not in {None, key} for side in ("input", "output")):
        raise ModelUnsupportedError(
            f"{file} asks for a dense layer elsewhere than on the text's vector; supported: {key}"
        )
    try:
        return DenseSpec(
            _weights(folder),
            int(config["in_features"]),
            int(config["out_features"]),
            bias=bool(config.get("bias", True)),
            activation=name,
            residual=bool(config.get("use_residual", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelUnsupportedError(
            f"{file} has no usable in_features and out_features: {error!r}"
        ) from error


def read_layer_norm(folder: Path) -> LayerNormSpec:
    """``config.json`` of a LayerNorm module. Raises as `read_dense`."""
    file = _required(folder, "config.json")
    dimension = read_json(file, dict).get("dimension")
    if not isinstance(dimension, int):
        raise ModelUnsupportedError(f"{file} has no dimension")
    return LayerNormSpec(_weights(folder), dimension)


def _weights(folder: Path) -> Path:
    if not (folder / "model.safetensors").is_file() and (folder / "pytorch_model.bin").is_file():
        raise ModelUnsupportedError(
            f"{folder} has its weights in pytorch_model.bin; supported: model.safetensors (a "
            "pickle can run code). Save the model again with a current sentence-transformers"
        )
    return _required(folder, "model.safetensors")


def _required(folder: Path, name: str) -> Path:
    file = folder / name
    if not file.is_file():
        raise ModelNotFoundError(
            f"modules.json names {folder.name}, and {file} is missing: copy the whole model"
        )
    return file
