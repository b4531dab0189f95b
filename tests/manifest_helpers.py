"""The files in deploy/, and what reads them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["KUBERNETES", "ROOT", "Manifest", "render", "tool"]

ROOT = Path(__file__).parents[1]
KUBERNETES = ROOT / "deploy/kubernetes"

Manifest = dict[str, Any]


def tool(name: str) -> str:
    """The program that a package of the extra `dev` brings.

    Raises:
        AssertionError: it is not there.
    """
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    assert found, f"{name} is not installed: pip install '.[dev]'"
    return found


@cache
def render(folder: Path) -> tuple[Manifest, ...]:
    """What kustomize makes of a folder."""
    done = subprocess.run(
        [tool("kubectl"), "kustomize", str(folder)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # warnings of what is deprecated
    return tuple(yaml.safe_load_all(done.stdout))
