"""Compile every loop that a start needs, into NUMBA_CACHE_DIR, and check that it was done."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from store.ranking.warm_up import warm_up as warm_up_ranking
from store.state_scan import warm_up as warm_up_states
from store.warm_up import warm_up
from streams.record_batch import warm_up as warm_up_reading
from streams.scan import warm_up as warm_up_scan
from streams.written_batch import warm_up as warm_up_writing

_DIM = 384  # any: loops are compiled for types, not for lengths


def main() -> int:
    """The worker's and the retrieval service's, as they do at their start."""
    begun = time.monotonic()
    warm_up_writing(warm_up(_DIM))
    warm_up_scan()
    warm_up_reading()
    warm_up_states()
    warm_up_ranking(_DIM)
    kept = len(list(Path(os.environ["NUMBA_CACHE_DIR"]).rglob("*.nbc")))
    if not kept:
        sys.stderr.write("nothing was kept: is NUMBA_CACHE_DIR a folder that can be written?\n")
        return 1
    sys.stdout.write(f"{kept} compiled loops in {time.monotonic() - begun:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
