"""What a model's folder says, in the layout of sentence-transformers; read without torch.

config.json  tokenizer.json  *.safetensors  [modules.json  1_Pooling/config.json  2_Dense/…
sentence_bert_config.json  config_sentence_transformers.json]
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from encoders.errors import ModelNotFoundError, ModelUnsupportedError
from encoders.models.specs import (
    DenseSpec,
    HeadSpec,
    LayerNormSpec,
    NormalizeSpec,
    PoolingSpec,
    read_dense,
    read_json,
    read_layer_norm,
    read_pooling,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ModelFolder", "read_folder"]

_MODULES = ("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout")
#: sentence-transformers 2 named the file after the architecture.
_LIMITS = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
#: Of config.json, what does not decide a vector.
_VOLATILE = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache"}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder that has every file needed and asks for nothing that is not supported.

    Attributes:
        path: of the transformer and its tokenizer; the folder itself but for old layouts.
        weights: the transformer's safetensors files, sorted by name.
        pooling: how tokens become one vector.
        heads: what is done to that vector, in order.
        max_tokens: ``max_seq_length``, where it is given.
        lower_case: whether texts are put in lower case first.
        add_end: whether the end token belongs after each text.
        prompts: by name, as the model's makers chose them.
        default_prompt: the name of the one used where none is asked for.
        truncate_dim: the vector's first components to keep (Matryoshka), where it is given.
    """

    path: Path
    weights: tuple[Path, ...]
    pooling: PoolingSpec
    heads: tuple[HeadSpec, ...]
    max_tokens: int | None = None
    lower_case: bool = False
    add_end: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    truncate_dim: int | None = None

    def prompt(self, name: str | None) -> str:
        """The prompt of this name, or the default one; empty where there is none.

        Raises:
            ModelUnsupportedError: the model has no prompt of this name.
        """
        name = self.default_prompt if name is None else name
        if name is None:
            return ""
        if name not in self.prompts:
            raise ModelUnsupportedError(
                f"the model in {self.path} has no prompt named {name!r}; it has: "
                f"{', '.join(self.prompts) or 'none'}. Give the prompt's own text instead"
            )
        return self.prompts[name]

    def fingerprint(self, *, tokenizer: str, dim: int, prompt: str) -> str:
        """12 hex digits over what decides a vector, but for where a long text is cut.

        Args:
            tokenizer: as it is in force, in its own words.
            dim: of the vectors.
            prompt: in force.
        """
        digest = hashlib.sha256(tokenizer.encode())
        heads = [head.weights for head in self.heads if isinstance(head, DenseSpec | LayerNormSpec)]
        for path in (*self.weights, *heads):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        config = read_json(self.path / "config.json", dict)
        decisive = {key: value for key, value in config.items() if key not in _VOLATILE}
        heads_said = [
            (head.activation, head.residual) if isinstance(head, DenseSpec) else type(head).__name__
            for head in self.heads
        ]
        said = [
            decisive, self.pooling.modes, self.pooling.include_prompt, heads_said, prompt, dim,
        ]  # fmt: skip
        digest.update(json.dumps(said, sort_keys=True).encode())
        return digest.hexdigest()[:12]


def read_folder(path: Path) -> ModelFolder:
    """Check a folder and read its settings.

    Raises:
        ModelNotFoundError: the folder, or a file that it needs, is missing.
        ModelUnsupportedError: weights other than safetensors, remote code, an encoder-decoder, a
            module, pooling or activation that is not supported, or a settings file that is not
            JSON.
    """
    if not path.is_dir():
        raise ModelNotFoundError(
            f"no model folder at {path}: name a folder with config.json, tokenizer.json and "
            "*.safetensors, or a model of the Hugging Face hub as owner/name"
        )
    transformer, pooling, heads = _read_modules(path)
    weights = _require_files(transformer)
    config = read_json(transformer / "config.json", dict)
    if config.get("is_encoder_decoder"):
        raise ModelUnsupportedError(
            f"the model in {path} ({config.get('model_type')}) is an encoder-decoder; "
            "supported: encoder-only and decoder-only models"
        )
    limits, limits_file = _first_json(transformer, *_LIMITS)
    said, said_file = _first_json(path, "config_sentence_transformers.json")
    ending, _ = _first_json(transformer, "tokenizer_config.json")
    prompts, default_prompt = said.get("prompts") or {}, said.get("default_prompt_name")
    if not isinstance(prompts, dict) or not isinstance(default_prompt, str | None):
        raise ModelUnsupportedError(
            f"{said_file} has the prompts {prompts!r} and the default {default_prompt!r}; expected "
            "texts by name, and a name"
        )
    return ModelFolder(
        transformer,
        weights,
        pooling,
        heads,
        max_tokens=_integer(limits, "max_seq_length", limits_file),
        lower_case=bool(limits.get("do_lower_case")),
        add_end=bool(ending.get("add_eos_token")),
        prompts={str(name): str(text) for name, text in prompts.items() if text is not None},
        default_prompt=default_prompt,
        truncate_dim=_integer(said, "truncate_dim", said_file),
    )


def _read_modules(path: Path) -> tuple[Path, PoolingSpec, tuple[HeadSpec, ...]]:
    """The transformer's folder, the pooling and the heads that ``modules.json`` names."""
    file = path / "modules.json"
    if not file.is_file():
        # A bare transformer: the mean, as sentence-transformers has it; or what the folder of
        # an incomplete copy says.
        return path, read_pooling(path / "1_Pooling"), ()
    transformer, heads = path, list[HeadSpec]()
    pooling: PoolingSpec | None = None
    for place, module in enumerate(read_json(file, list)):
        # The packages of these classes moved between releases; the class names did not.
        name = str(module.get("type", "")).rpartition(".")[2] if isinstance(module, dict) else ""
        if name not in _MODULES or (name == "Transformer") != (place == 0):
            raise ModelUnsupportedError(
                f"modules.json in {path} asks for the module {name or module!r} at place {place}; "
                f"supported: {', '.join(_MODULES)}, the first alone in the first place"
            )
        folder = path / str(module.get("path") or "")
        match name:
            case "Transformer":
                transformer = folder
            case "Pooling":
                pooling = read_pooling(folder, named=True)
            case "Dense":
                heads.append(read_dense(folder))
            case "LayerNorm":
                heads.append(read_layer_norm(folder))
            case "Normalize":
                heads.append(NormalizeSpec())
            case _:  # Dropout does nothing outside of training
                pass
    if pooling is None:  # the mean would be a guess
        raise ModelUnsupportedError(
            f"{file} names no Pooling: expected a Transformer, a Pooling and what follows; delete "
            "the file for the mean of a bare transformer's tokens"
        )
    return transformer, pooling, tuple(heads)


def _require_files(path: Path) -> tuple[Path, ...]:
    weights = tuple(sorted(path.glob("*.safetensors")))
    if not weights and (pickled := sorted(path.glob("pytorch_model*.bin"))):
        raise ModelUnsupportedError(
            f"the model in {path} has its weights in {pickled[0].name}; supported: *.safetensors "
            "(a pickle can run code). Save it again with save_pretrained(safe_serialization=True)"
        )
    found = {
        "config.json": (path / "config.json").is_file(),
        "tokenizer.json": (path / "tokenizer.json").is_file(),
        "*.safetensors": bool(weights),
    }
    if (path / "model.safetensors.index.json").is_file():
        index = read_json(path / "model.safetensors.index.json", dict)
        parts = sorted({str(name) for name in (index.get("weight_map") or {}).values()})
        found |= {name: (path / name).is_file() for name in parts}
        weights = tuple(path / name for name in parts)
    if missing := [name for name, there in found.items() if not there]:
        raise ModelNotFoundError(
            f"the model folder {path} has no {' and no '.join(missing)}: copy the whole model "
            "there (git lfs files included), or name another folder"
        )
    return weights


def _first_json(folder: Path, *names: str) -> tuple[dict[str, Any], Path]:
    """What the first of these files that is there says, and which it is; else nothing."""
    for name in names:
        if (folder / name).is_file():
            found: dict[str, Any] = read_json(folder / name, dict)
            return found, folder / name
    return {}, folder / names[0]


def _integer(values: dict[str, Any], key: str, file: Path) -> int | None:
    value = values.get(key)
    if value is None or (type(value) is int and value > 0):
        return value
    raise ModelUnsupportedError(
        f"{file} has {key} = {value!r}; expected a whole number above 0, or null"
    )
