"""Programs that encode the same texts, kept ready and measured in turns."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from numpy.typing import NDArray

__all__ = ["Encoding", "Round"]

_PROGRAM = Path(__file__).with_name("programs") / "encode.py"
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over the texts.

    Attributes:
        seconds: from strings to vectors.
        peak_bytes: memory of the process so far, at most.
        said: what the program said beside.
    """

    seconds: float
    peak_bytes: int
    said: list[dict[str, Any]]


class Encoding:
    """One variant of ``programs/encode.py``, loaded and warm; a context manager.

    Args:
        variant: its name there.
        python: the interpreter, hence the environment.
        given: further arguments of the program.
        out: where it writes its vectors.
        env: variables of its environment, all of them.
    """

    def __init__(
        self,
        variant: str,
        python: Path,
        given: Mapping[str, Any],
        out: Path,
        env: Mapping[str, str],
    ) -> None:
        self.out = out.with_suffix(".npy")
        arguments = {**given, "variant": variant, "out": str(self.out)}
        self._log = out.with_suffix(".log").open("w")
        self._child = subprocess.Popen(
            [str(python), str(_PROGRAM), json.dumps(arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env={**env, "PYTHONPATH": str(_ROOT)}, cwd=out.parent,
        )  # fmt: skip
        self.how = str(self._until("ready")[-1]["ready"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._child.kill()
        self._child.communicate()
        self._log.close()

    def run(self) -> Round:
        """One pass.

        Raises:
            RuntimeError: the program ended; with the end of its log.
        """
        assert self._child.stdin is not None  # noqa: S101 # a pipe
        self._child.stdin.write("go\n")
        self._child.stdin.flush()
        said = self._until("seconds")
        return Round(said[-1]["seconds"], said[-1]["peak_bytes"], said[:-1])

    def vectors(self) -> NDArray[np.float32]:
        """Of the last pass, ``(n, dim) float32``."""
        found: NDArray[np.float32] = np.load(self.out)
        return found

    def _until(self, key: str) -> list[dict[str, Any]]:
        assert self._child.stdout is not None  # noqa: S101 # a pipe
        said: list[dict[str, Any]] = []
        for line in self._child.stdout:
            if line.startswith("{"):
                said.append(json.loads(line))
                if key in said[-1]:
                    return said
        log = Path(self._log.name).read_text()[-2_000:]
        raise RuntimeError(f"{_PROGRAM.name} ended before it said {key}:\n{log}")
