"""The three logs that quality is measured on, and the vectors of their items."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tidemark.compose.parts import action_rules
from tidemark.errors import TidemarkError
from tidemark.evaluation.readers import read_log
from tidemark.evaluation.vectors import encode_catalogue
from tidemark.settings import load_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streams.rules import ActionRules
    from tidemark.evaluation.log import ActionLog

__all__ = ["LOGS", "Measured", "measured_log"]

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
#: By the name that figures are given under.
LOGS = {
    "MovieTweetings": "movietweetings-100k",
    "Online Retail": "online-retail/online_retail.csv.gz",
    "MovieLens": "ml-latest-small",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A log, and what goes with it.

    Attributes:
        log: its actions.
        rules: of the default settings.
        vectors: ``(items, dim) float32`` by the default encoder.
    """

    log: ActionLog
    rules: ActionRules
    vectors: NDArray[np.float32]


@cache
def measured_log(name: str) -> Measured:
    """One of `LOGS`, read and encoded once.

    Raises:
        TidemarkError: it is not there.
    """
    place = Path(os.environ.get("QUALITY_LOGS") or _BESIDE) / LOGS[name]
    if not place.exists():
        raise TidemarkError(
            f"{place} is missing: name a folder with {', '.join(LOGS.values())} as QUALITY_LOGS"
        )
    settings = load_settings()
    log = read_log(place)
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as folder:
        vectors, _ = encode_catalogue(settings, log.catalogue, Path(folder))
    return Measured(log, action_rules(settings), vectors)
