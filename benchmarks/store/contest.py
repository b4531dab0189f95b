"""The programs of `peers`: each kept ready in a process of its own, and asked in turns."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["Contestant"]

_PROGRAM = Path(__file__).with_name("programs") / "peer.py"
_ROOT = Path(__file__).resolve().parents[2]


class Contestant:
    """One engine of ``programs/engines.py``, filled; a context manager.

    Args:
        engine: its name there.
        python: the interpreter, hence the environment.
        given: further arguments of the program.
        folder: of its own, made here.

    Attributes:
        built: what it said of how it was filled.
    """

    def __init__(self, engine: str, python: Path, given: Mapping[str, Any], folder: Path) -> None:
        (folder / "data").mkdir(parents=True)
        self._log = (folder / "log").open("w")
        self._child = subprocess.Popen(
            [
                str(python), str(_PROGRAM),
                json.dumps({**given, "engine": engine, "folder": str(folder / "data")}),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(_ROOT)},
            cwd=folder,
        )  # fmt: skip
        try:
            self.built = self._answer()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, whatever it does."""
        self._child.kill()
        self._child.communicate()
        self._log.close()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Have something done.

        Raises:
            RuntimeError: the program ended; with the end of its log.
        """
        assert self._child.stdin is not None  # noqa: S101 # a pipe
        self._child.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._child.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None  # noqa: S101 # a pipe
        for line in self._child.stdout:
            if line.startswith('{"done"'):
                answer: dict[str, Any] = json.loads(line)["done"]
                return answer
        log = Path(self._log.name).read_text()[-2_000:]
        raise RuntimeError(f"{_PROGRAM.name} ended before it had answered:\n{log}")
