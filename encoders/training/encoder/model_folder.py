"""Writes a trained encoder as a folder in the layout of sentence-transformers."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import save_file

from encoders.errors import TrainingError
from encoders.models.specs import read_json

if TYPE_CHECKING:
    from pathlib import Path

    from encoders.training.encoder.projection import Projection

__all__ = ["add_projection", "copy_model"]

_PACKAGE = "sentence_transformers.models"
#: What a bare transformer is: its tokens' mean.
_BARE = (("", "Transformer"), ("1_Pooling", "Pooling"))


def copy_model(model: Path, out: Path) -> None:
    """Copy what makes the model, and nothing that is hidden or in another format.

    Raises:
        TrainingError: it cannot be written, or holds what is no folder of a model of its own.
    """
    if out.resolve() == model.resolve():
        raise TrainingError(f"{out} is the model that is trained; name another folder")
    hidden = shutil.ignore_patterns(
        ".*", "*.bin", "*.h5", "*.onnx", "onnx", "openvino", "*.msgpack"
    )
    try:
        # of an earlier training: a bare transformer has none that would be written over it
        (out / "modules.json").unlink(missing_ok=True)
        shutil.copytree(model, out, ignore=hidden, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise TrainingError(f"the model cannot be copied to {out}: {error}") from error


def add_projection(out: Path, projection: Projection) -> None:
    """Put the map behind the model's own modules, as a Dense and a Normalize.

    The map was trained on unit vectors, so a Normalize comes before it too.

    Args:
        out: of the copied model.
        projection: trained.

    Raises:
        TrainingError: it cannot be written.
    """
    weight, bias = projection.dense()
    file = out / "modules.json"
    try:
        if file.exists():
            modules = read_json(file, list)
        else:
            modules = [_module(at, path, name) for at, (path, name) in enumerate(_BARE)]
            if not (out / "1_Pooling/config.json").exists():
                said = {
                    "word_embedding_dimension": weight.shape[1],
                    "pooling_mode_mean_tokens": True,
                }
                _write(out / "1_Pooling/config.json", said)
        names = ("Normalize", "Dense", "Normalize")
        for at, name in enumerate(names, start=len(modules)):
            folder = out / f"{at}_{name}"
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir()
            modules.append(_module(at, folder.name, name))
            if name == "Dense":
                dense = {
                    "in_features": weight.shape[1],
                    "out_features": weight.shape[0],
                    "bias": True,
                    "activation_function": "torch.nn.modules.linear.Identity",
                }
                _write(folder / "config.json", dense)
                tensors = {"linear.weight": weight.contiguous(), "linear.bias": bias.contiguous()}
                save_file(tensors, folder / "model.safetensors")
        _write(file, modules)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"the trained model cannot be written to {out}: {error}") from error


def _module(at: int, path: str, name: str) -> dict[str, object]:
    return {"idx": at, "name": str(at), "path": path, "type": f"{_PACKAGE}.{name}"}


def _write(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=2), encoding="utf-8")
