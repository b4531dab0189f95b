"""How a running worker is told to misbehave: a small file that it looks at."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["REFUSED", "Control", "ControlFile"]

#: A text with this in it is one that the encoder cannot encode, whatever the control file says.
REFUSED = "soak-refused"


class Control(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong just now.

    Attributes:
        out_of_memory_above: the encoder runs out of memory on batches of more texts; at 0 always.
        hangs: the encoder does not answer.
        clock_ms: the worker's clock is wrong by so much.
    """

    out_of_memory_above: int | None = None
    hangs: bool = False
    clock_ms: int = 0


class ControlFile:
    """Written by the soak, read by the worker; replaced at once, so that no half is ever read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, control: Control) -> None:
        """Say what is wrong from now on."""
        new = self._path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(control))
        os.replace(new, self._path)  # noqa: PTH105 # atomic, as Path.replace says less clearly

    def change(self, **changes: object) -> None:
        """Say it of these, and leave the rest as it is."""
        self.write(msgspec.structs.replace(self.read(), **changes))

    def read(self) -> Control:
        """What is wrong just now.

        Raises:
            OSError, MsgspecError: the file is not there, or not ours.
        """
        return msgspec.json.decode(self._path.read_bytes(), type=Control)
