"""How a measured program tells how far it is: lines of time and count in a file a process.

Standard library only: the programs run in environments of their own.
"""

import json
import os
import sys
import time
from pathlib import Path


def arguments() -> dict:
    """The program's arguments, one JSON object."""
    return json.loads(sys.argv[1])


class Meter:
    """Counts actions. The file's name is the process's, since some peers use several."""

    def __init__(self, folder: str, step: int = 1000) -> None:
        self._file = Path(folder, str(os.getpid())).open("a", buffering=1)  # noqa: SIM115 # until the process ends
        self._step = step
        self._count = 0
        self._next = 1

    def add(self, count: int = 1) -> None:
        """So many actions more are done."""
        self._count += count
        if self._count >= self._next:
            self._file.write(f"{time.monotonic()} {self._count}\n")
            self._next = self._count + self._step
