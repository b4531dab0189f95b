"""``python -m tidemark.soak.worker``: the normal worker, with an encoder and a clock that can fail.

Nothing else is different: it is composed by `tidemark.compose.worker.build_worker`, reads the same
settings and is run and stopped as ``tidemark worker`` is.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from encoders.errors import DeviceMemoryError
from tidemark.soak.control import REFUSED, ControlFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from encoders.protocol import TextEncoder

__all__ = ["FailingEncoder"]

_LOOK_SECONDS = 0.05


class FailingEncoder:
    """An encoder that does what another does, but for what the control file says.

    Args:
        encoder: the one that works.
        control: says what fails.
    """

    def __init__(self, encoder: TextEncoder, control: ControlFile) -> None:
        self._encoder = encoder
        self._control = control

    @property
    def encoder_id(self) -> str:
        """Of the encoder that works: the vectors are its own."""
        return self._encoder.encoder_id

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._encoder.dim

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode, or fail.

        Raises:
            DeviceMemoryError: the control file says so.
            ValueError: a text has `REFUSED` in it.
        """
        while self._control.read().hangs:
            time.sleep(_LOOK_SECONDS)
        most = self._control.read().out_of_memory_above
        if most is not None and len(texts) > most:
            raise DeviceMemoryError(f"{len(texts)} texts do not fit in memory; {most} would")
        for text in texts:
            if REFUSED in text:
                # No error of the encoders': what a tokenizer or a model raises is anything.
                raise ValueError(f"cannot encode {text[:60]!r}")
        return self._encoder.encode(texts)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    options = parser.parse_args()

    # Sets up what torch reads when it is loaded, as the command does.
    from tidemark.cli.services import run_worker  # noqa: PLC0415
    from tidemark.compose.parts import now_ms  # noqa: PLC0415
    from tidemark.settings import load_settings  # noqa: PLC0415

    control = ControlFile(options.control)
    run_worker(
        load_settings(),
        options.state,
        wrap_encoder=lambda encoder: FailingEncoder(encoder, control),
        clock=lambda: now_ms() + control.read().clock_ms,
    )


if __name__ == "__main__":
    _main()
