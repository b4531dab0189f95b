"""Where a training command leaves what it made: looked at before it begins, written at its end."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tidemark.cli.common import errors
from tidemark.errors import CheckpointError, EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "checkpoint_beside", "drop", "ready_file", "ready_folder", "ready_to_resume", "resumable",
    "write_report",
]  # fmt: skip

_REPORT, _CHECKPOINT = ".report.json", ".checkpoint"


def ready_folder(folder: Path) -> None:
    """Make a folder where it is missing, and see that files can be made in it.

    Raises:
        EvaluationError: it cannot be made, or nothing can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(
            f"--out: the folder {folder} cannot be made: {error}; name another place"
        ) from error
    try:
        # Permissions do not tell of a file system that is full or can only be read.
        with tempfile.TemporaryFile(dir=folder) as tried:
            tried.write(b"\n")
    except OSError as error:
        raise EvaluationError(
            f"--out: the folder {folder} cannot be written to: {error}; name another place"
        ) from error


def ready_file(file: Path, *, reported: bool = True) -> None:
    """The same for a file and its report: see that both can be written, make their folder.

    Args:
        file: to be written.
        reported: whether `write_report` follows.

    Raises:
        EvaluationError: one cannot.
    """
    ready_folder(file.parent)
    for one in (file, _beside(file)) if reported else (file,):
        if one.is_dir():
            raise EvaluationError(f"--out: {one} is a folder; expected the name of a file")
        if one.exists() and not os.access(one, os.W_OK):
            raise EvaluationError(f"--out: {one} cannot be written to; name another place")


def ready_to_resume(checkpoint: Path) -> None:
    """See that there is a checkpoint, before minutes are spent on what it would go on with.

    Raises:
        CheckpointError: there is none.
    """
    if not checkpoint.is_file():
        raise CheckpointError(f"--resume: there is no {checkpoint}; train anew without --resume")


@contextmanager
def resumable(checkpoint: Path) -> Iterator[None]:
    """Within a training is run; one that is interrupted says how to go on with it."""
    earlier = _version(checkpoint)
    try:
        yield
    except KeyboardInterrupt:
        if _version(checkpoint) not in {None, earlier}:
            errors.print(
                f"interrupted; what was learned so far is in {checkpoint}: go on with --resume",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip
        raise


def write_report(out: Path, report: dict[str, object]) -> None:
    """Beside what is trained: ``FILE.report.json``.

    Raises:
        EvaluationError: it cannot be written.
    """
    beside = _beside(out)
    try:
        beside.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"{beside} cannot be written: {error}") from error


def drop(file: Path) -> None:
    """Remove what is of no use any more: a finished checkpoint; a model that an earlier run left.

    Raises:
        EvaluationError: it cannot be removed.
    """
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise EvaluationError(f"{file}, of no use any more, cannot be removed: {error}") from error


def checkpoint_beside(out: Path, *, resume: bool) -> Path:
    """``FILE.checkpoint``; raises as `ready_to_resume` where it is to be gone on from."""
    checkpoint = out.parent / f"{out.name}{_CHECKPOINT}"
    if resume:
        ready_to_resume(checkpoint)
    return checkpoint


def _version(file: Path) -> tuple[int, int] | None:
    """Another one of each time that the file is written; None where there is none."""
    if not file.exists():
        return None
    found = file.stat()
    return found.st_ino, found.st_mtime_ns


def _beside(file: Path) -> Path:
    # not `with_name`, which "." does not have
    return file.parent / f"{file.name}{_REPORT}"
