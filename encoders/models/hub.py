"""Where a model's files are: a folder, the hub's cache, or the hub."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from huggingface_hub import snapshot_download

from encoders.errors import ModelNotFoundError
from encoders.models.folder import read_folder

__all__ = ["locate"]

logger = logging.getLogger(__name__)

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]


def locate(model: str) -> Path:
    """The folder of a model; downloads a hub name that is not in the hub's cache.

    Raises:
        ModelNotFoundError: it is neither a folder, nor in the cache, nor to be had.
    """
    folder = Path(model).expanduser()
    if folder.exists() or model.startswith((".", "/", "~")) or not _HUB_NAME.fullmatch(model):
        return folder
    try:
        cached = Path(snapshot_download(model, allow_patterns=_HUB_FILES, local_files_only=True))
        read_folder(cached)
    except (OSError, ValueError, ModelNotFoundError):
        logger.info("%s is not in the hub's cache: downloading", model)
    else:
        return cached
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
