"""What a model's folder says, in the layout of sentence-transformers; read without torch.

config.json  tokenizer.json  *.safetensors  [modules.json  1_Pooling/config.json
sentence_bert_config.json]
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from encoders.errors import ModelNotFoundError, ModelUnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ModelFolder", "read_folder"]

_MODULES = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder that has every file needed and asks for nothing that is not supported.

    Attributes:
        path: the folder.
        pooling: always ``mean`` for now.
        max_tokens: ``max_seq_length`` of ``sentence_bert_config.json``, where it is given.
        weights: the safetensors files, sorted by name.
    """

    path: Path
    pooling: str
    max_tokens: int | None
    weights: tuple[Path, ...]

    def fingerprint(self, *, max_tokens: int, dim: int, precision: str) -> str:
        """12 hex digits over what decides a vector: the files, pooling and the arguments."""
        digest = hashlib.sha256()
        for path in (*self.weights, self.path / "tokenizer.json"):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        digest.update(json.dumps([self.pooling, max_tokens, dim, precision]).encode())
        return digest.hexdigest()[:12]


def read_folder(path: Path) -> ModelFolder:
    """Check a folder and read its settings.

    Raises:
        ModelNotFoundError: the folder, or a file that it needs, is missing.
        ModelUnsupportedError: weights other than safetensors, remote code, an encoder-decoder,
            modules other than Transformer, Pooling and Normalize, pooling other than mean, or a
            settings file that is not JSON.
    """
    if not path.is_dir():
        raise ModelNotFoundError(
            f"no model folder at {path}: name a folder with config.json, tokenizer.json and "
            "*.safetensors, or a model of the Hugging Face hub as owner/name"
        )
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
    if missing := [name for name, there in found.items() if not there]:
        raise ModelNotFoundError(
            f"the model folder {path} has no {' and no '.join(missing)}: copy the whole model "
            "there (git lfs files included), or name another folder"
        )
    config = _read_json(path / "config.json", dict)
    if config.get("is_encoder_decoder"):
        raise ModelUnsupportedError(
            f"the model in {path} ({config.get('model_type')}) is an encoder-decoder; "
            "supported: encoder-only and decoder-only models"
        )
    return ModelFolder(path, _read_pooling(path), _read_max_tokens(path), weights)


def _read_pooling(path: Path) -> str:
    pooling_path = "1_Pooling"
    modules = _read_json(path / "modules.json", list) if (path / "modules.json").is_file() else []
    for module in modules:
        # The packages of these classes moved between releases; the class names did not.
        name = str(module.get("type", "")).rpartition(".")[2] if isinstance(module, dict) else ""
        if name not in _MODULES:
            raise ModelUnsupportedError(
                f"modules.json in {path} asks for the module {name or module!r}; "
                f"supported: {', '.join(_MODULES)}"
            )
        if name == "Pooling":
            pooling_path = str(module.get("path") or pooling_path)
    file = path / pooling_path / "config.json"
    if not file.is_file():
        return "mean"  # what sentence-transformers does with a bare transformer
    config = _read_json(file, dict)
    modes = [
        key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for key, value in config.items()
        if key.startswith("pooling_mode_") and value is True
    ]
    if named := config.get("pooling_mode"):
        modes = [str(mode) for mode in (named if isinstance(named, list) else [named])]
    if modes != ["mean"]:
        raise ModelUnsupportedError(
            f"{file} asks for {' + '.join(modes) or 'no'} pooling; supported: mean"
        )
    return "mean"


def _read_max_tokens(path: Path) -> int | None:
    file = path / "sentence_bert_config.json"
    value = _read_json(file, dict).get("max_seq_length") if file.is_file() else None
    return value if isinstance(value, int) else None


def _read_json(file: Path, kind: type[Any]) -> Any:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnsupportedError(f"{file} cannot be read: {error}") from error
    if not isinstance(value, kind):
        raise ModelUnsupportedError(f"{file} holds a {type(value).__name__}, not a {kind.__name__}")
    return value
