"""Python environments of the peers, made the first time they are needed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

__all__ = ["peer_python", "project_python"]

_ROOT = Path(__file__).resolve().parents[2]
_REQUIREMENTS = _ROOT / "benchmarks" / "peers"
_VENVS = _ROOT / "benchmarks" / ".venvs"


def peer_python(name: str, *, shares_project: bool = False) -> Path:
    """The interpreter of ``benchmarks/.venvs/<name>``, with what ``peers/<name>.txt`` pins.

    Args:
        name: of the requirement file.
        shares_project: it also sees the project's own packages (torch is too large to have twice).

    Raises:
        subprocess.CalledProcessError: pip failed; what it said is on the terminal.
    """
    requirements = _REQUIREMENTS / f"{name}.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    folder = _VENVS / name
    python, stamp = folder / "bin" / "python", folder / ".installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"installing {requirements.relative_to(_ROOT)} into {folder.relative_to(_ROOT)}")
    venv.create(folder, with_pip=True, clear=True)
    if shares_project:
        own = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})["purelib"]
        Path(own, "project.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    subprocess.run(
        [
            str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--requirement", str(requirements),
        ],
        check=True,
    )  # fmt: skip
    stamp.write_text(wanted)
    return python


def project_python() -> Path:
    """The interpreter that runs this."""
    return Path(sys.executable)
